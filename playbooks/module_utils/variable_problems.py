"""What is wrong with the value of one variable: a sentence with its name, its value and the remedy for each problem."""

import re

from ansible.module_utils.parsing.convert_bool import BOOLEANS

PLAIN_PATH = re.compile(r"/[\w.+@/-]*")
TIME = re.compile(r"([01]\d|2[0-3]):[0-5]\d")


def plain_path_problems(name, path):
    if PLAIN_PATH.fullmatch(str(path)):
        return []
    return [
        f"{name} = {path}: must be an absolute path of letters, digits and . _ - + @ only. Set {name} to such a path"
    ]


def switch_problems(variables, *names):
    wrong = [name for name in names if str(variables[name]).lower() not in BOOLEANS]
    return [f"{name} = {variables[name]}: must be true or false. Set {name} to one of them" for name in wrong]


def time_problems(name, value):
    if not value or TIME.fullmatch(str(value)):
        return []
    return [f"{name} = {value}: must be a time of the day, as \"02:30\" with its quotes, or ''. Set {name} to one"]
