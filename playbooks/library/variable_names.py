#!/usr/bin/python
"""Refuses a variable whose name is nearly that of a known one: Ansible itself would ignore it in silence."""

import difflib

from ansible.module_utils.basic import AnsibleModule

LIKENESS = 0.87  # replica and replicas are; replicas and replicas_max are not


def main():
    module = AnsibleModule(
        argument_spec={
            "given": {"type": "list", "elements": "str", "required": True},
            "known": {"type": "list", "elements": "str", "required": True},
        },
        supports_check_mode=True,
    )
    if problems := find_problems(module.params["given"], module.params["known"]):
        module.fail_json(msg="\n".join(problems))
    module.exit_json(changed=False)


def find_problems(given, known):
    """A sentence for each name that is not known, and like one that is."""
    problems = []
    for name in sorted(set(given) - set(known)):
        if like := difflib.get_close_matches(name, known, n=1, cutoff=LIKENESS):
            problems.append(f"{name}: there is no such variable. Did you mean {like[0]}? Correct its name")
    return problems


if __name__ == "__main__":
    main()
