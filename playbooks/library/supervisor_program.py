#!/usr/bin/python
"""Makes one program under supervisord what its configuration file says, and waits until it works.

A program whose configuration is unchanged and which runs is left alone. One whose configuration changed is
stopped (gracefully: supervisord waits for it) and started anew, one whose file is gone stopped and removed.
Called for one replica after the other this is a rolling restart.
"""

import time
import urllib.error
import urllib.request
import xmlrpc.client
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from supervisor.xmlrpc import SupervisorTransport

POLL_SECONDS = 0.1
LOG_LINES = 12
ENDED = ("STOPPED", "EXITED", "FATAL")


def main():
    module = AnsibleModule(
        argument_spec={
            "name": {"required": True},
            "socket": {"type": "path", "required": True},
            "ready_url": {"type": "str"},
            "timeout_seconds": {"type": "float", "default": 60},
        },
        supports_check_mode=True,
    )
    name, ready_url = module.params["name"], module.params["ready_url"]
    transport = SupervisorTransport(None, None, f"unix://{module.params['socket']}")
    supervisor = xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport).supervisor
    if module.check_mode:
        module.exit_json(changed=would_change(supervisor, name))
    give_up_at = time.monotonic() + module.params["timeout_seconds"]
    try:
        changed, present = converge(supervisor, name)
    except (OSError, xmlrpc.client.Error) as error:
        module.fail_json(msg=f"{name}: supervisord refused: {error}. Is it running? Run `make deploy`")
    reason = None
    while present:
        reason = why_not_working(supervisor, name, ready_url)
        if reason is None:
            break
        if time.monotonic() > give_up_at or reason == "FATAL":
            log = tail(supervisor.getProcessInfo(name)["stdout_logfile"])
            module.fail_json(msg=f"{name} does not work: {reason}\nThe end of its log:\n{log}")
        time.sleep(POLL_SECONDS)
    module.exit_json(changed=changed)


def converge(supervisor, name):
    """Returns (changed, whether the program is to run)."""
    added, altered, removed = supervisor.reloadConfig()[0]
    if name in removed or name in altered:
        supervisor.stopProcessGroup(name)
        supervisor.removeProcessGroup(name)
    if name in added or name in altered:
        supervisor.addProcessGroup(name)
        return True, True
    if name in removed:
        return True, False
    known = states(supervisor)
    if known.get(name) in ENDED:
        supervisor.startProcess(name, False)
        return True, True
    return False, name in known


def states(supervisor):
    """What supervisord says of each program that it runs or ran."""
    return {program["name"]: program["statename"] for program in supervisor.getAllProcessInfo()}


def would_change(supervisor, name):
    """Of the files as they are: --check writes none, and says of each that it would be changed."""
    try:
        differing = {other for names in supervisor.reloadConfig()[0] for other in names}
        known = states(supervisor)
    except (OSError, xmlrpc.client.Error):
        return True  # no supervisord runs
    return name in differing or known.get(name) in ENDED


def why_not_working(supervisor, name, ready_url):
    """None when it runs and, where it has a URL to ask, says that it is ready."""
    state = supervisor.getProcessInfo(name)["statename"]
    if state == "FATAL" or ready_url is None:
        return None if state == "RUNNING" else state
    try:
        with urllib.request.urlopen(ready_url, timeout=5):  # noqa: S310
            return None
    except urllib.error.HTTPError as error:
        return f"{ready_url} answers {error.code}: {error.read().decode(errors='replace')}"
    except OSError as error:
        return f"{state.lower()}, but {ready_url} does not answer ({error})"


def tail(log):
    try:
        return "\n".join(Path(log).read_text(errors="replace").splitlines()[-LOG_LINES:])
    except OSError as error:
        return str(error)


if __name__ == "__main__":
    main()
