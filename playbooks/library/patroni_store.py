#!/usr/bin/python
"""Prepares etcd for Patroni: nobody gets in without the password, and it has the configuration of the cluster.

Without a password every user of this machine could make himself the primary, or have PostgreSQL run his commands.
"""

import base64
import json
from pathlib import Path

import yaml
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.http_json import call

USER = "root"  # the name that etcd wants, and a role of the same name
OF_THE_OPERATOR = ("pause",)  # `patronictl pause` writes it; it is not ours to take away


def main():
    module = AnsibleModule(
        argument_spec={
            "port": {"type": "int", "required": True},
            "password_file": {"type": "path", "required": True, "no_log": False},
            "scope": {"type": "str", "required": True},
            "configuration_file": {"type": "path", "required": True},
        }
    )
    params = module.params
    password = Path(params["password_file"]).read_text().strip()
    wanted = yaml.safe_load(Path(params["configuration_file"]).read_text())
    try:
        etcd = Etcd(params["port"])
        changed = etcd.close_to_others(password)
        changed |= write_configuration(etcd, f"/service/{params['scope']}/config", wanted)
    except (OSError, Refused) as error:
        module.fail_json(msg=f"etcd on port {params['port']}: {error}. See make logs")
    module.exit_json(changed=changed)


def write_configuration(etcd, key, wanted):
    """Returns whether it was another one."""
    present = json.loads(etcd.get(key) or "{}")
    wanted = wanted | {name: present[name] for name in OF_THE_OPERATOR if name in present}
    if present == wanted:
        return False
    etcd.put(key, json.dumps(wanted))
    return True


class Refused(Exception):
    """What etcd said."""


class Etcd:
    """By the JSON form of its API."""

    def __init__(self, port):
        self._port = port
        self._token = None

    def close_to_others(self, password):
        """Returns whether it was open. May be repeated after an interruption."""
        login = {"name": USER, "password": password}
        was_open = False
        try:
            self._token = self._ask("auth/authenticate", login)["token"]
        except Refused as refused:
            if "authentication is not enabled" not in str(refused):
                raise
            was_open = True
            self._ask("auth/user/add", login, unless="user name already exists")
            self._ask("auth/user/changepw", login)  # it may be from a run with another password
            self._ask("auth/role/add", {"name": USER}, unless="role name already exists")
            self._ask("auth/user/grant", {"user": USER, "role": USER})
            self._ask("auth/enable", {})
            self._token = self._ask("auth/authenticate", login)["token"]
        return was_open

    def get(self, key):
        """None where there is no such key."""
        found = self._ask("kv/range", {"key": encoded(key)}).get("kvs")
        return base64.b64decode(found[0]["value"]).decode() if found else None

    def put(self, key, value):
        self._ask("kv/put", {"key": encoded(key), "value": encoded(value)})

    def _ask(self, path, document, unless=None):
        headers = {"Authorization": self._token} if self._token else {}
        status, answer = call(f"http://127.0.0.1:{self._port}/v3/{path}", "POST", document, headers)
        if status != 200 and (unless is None or unless not in str(answer)):
            raise Refused(f"{path}: {status} {answer}")
        return answer


def encoded(text):
    return base64.b64encode(text.encode()).decode()


if __name__ == "__main__":
    main()
