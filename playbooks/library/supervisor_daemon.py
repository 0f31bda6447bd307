#!/usr/bin/python
"""Starts or stops this deployment's supervisord, and ends what one that died has left behind.

A supervisord that is killed leaves its children running, which hold the ports and the data folder. They are
recognised by the address that supervisord puts into the environment of its children, so that no process of
another deployment is ever touched.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
import xmlrpc.client
from pathlib import Path

import psutil
from ansible.module_utils.basic import AnsibleModule
from supervisor.xmlrpc import SupervisorTransport

START_SECONDS = 15
STOP_SECONDS = 120  # longer than any program's stopwaitsecs
POLL_SECONDS = 0.1


def main():
    module = AnsibleModule(
        argument_spec={
            "state": {"choices": ["started", "stopped"], "required": True},
            "state_dir": {"type": "path", "required": True},
        },
        supports_check_mode=True,
    )
    state_dir = Path(module.params["state_dir"])
    daemon = running_daemon(state_dir)
    if module.check_mode:
        started = module.params["state"] == "started"
        module.exit_json(changed=daemon is None if started else daemon is not None or bool(leftovers(state_dir)))
    if module.params["state"] == "started":
        if daemon is not None:
            module.exit_json(changed=False, pid=daemon.pid)
        ended = end_leftovers(state_dir)
        module.exit_json(changed=True, ended=ended, pid=start(module, state_dir))
    if daemon is not None:
        stop(module, daemon, state_dir)
    ended = end_leftovers(state_dir)
    module.exit_json(changed=daemon is not None or bool(ended), ended=ended)


def running_daemon(state_dir):
    """The process in the pid file, if it is still this deployment's supervisord."""
    try:
        process = psutil.Process(int((state_dir / "run" / "supervisord.pid").read_text()))
        arguments = process.cmdline()
    except (OSError, ValueError, psutil.Error):
        return None
    return process if str(state_dir / "config" / "supervisord.conf") in arguments else None


def start(module, state_dir):
    # A clean environment: a CATALOG_... variable of the user's shell must not become a replica's setting.
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    command = [str(Path(sys.executable).parent / "supervisord"), "-c", f"{state_dir}/config/supervisord.conf"]
    result = subprocess.run(  # noqa: S603
        command, env=environment, cwd=state_dir, stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    if result.returncode:
        module.fail_json(msg=f"supervisord did not start: {(result.stdout + result.stderr).decode()}")
    give_up_at = time.monotonic() + START_SECONDS
    while time.monotonic() < give_up_at:
        daemon = running_daemon(state_dir)
        if daemon is not None and answers(state_dir):
            return daemon.pid
        time.sleep(POLL_SECONDS)
    return module.fail_json(msg=f"supervisord did not answer in time; see {state_dir}/logs/supervisord.log")


def rpc(state_dir):
    transport = SupervisorTransport(None, None, f"unix://{state_dir}/run/supervisor.sock")
    return xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport).supervisor


def answers(state_dir):
    try:
        return rpc(state_dir).getState()["statename"] == "RUNNING"
    except (OSError, xmlrpc.client.Error):
        return False


def stop(module, daemon, state_dir):
    """supervisord stops its programs one after the other; the replicas are asked to drain at once instead."""
    supervisor = rpc(state_dir)
    for program in supervisor.getAllProcessInfo():
        if program["name"].startswith("replica-") and program["pid"]:
            supervisor.stopProcess(program["name"], False)
    daemon.send_signal(signal.SIGTERM)
    try:
        daemon.wait(STOP_SECONDS)
    except psutil.TimeoutExpired:
        module.fail_json(msg=f"supervisord (process {daemon.pid}) did not stop within {STOP_SECONDS} s")


def end_leftovers(state_dir):
    """Ends programs without a supervisor, gracefully where they let us; returns their names."""
    left = leftovers(state_dir)
    for process in left:
        # PostgreSQL waits for its clients on SIGTERM, and ends them on SIGINT.
        send(process, signal.SIGINT if process.info["name"] == "postgres" else signal.SIGTERM)
    _, alive = psutil.wait_procs(left, timeout=30)
    for process in alive:
        send(process, signal.SIGKILL)
    psutil.wait_procs(alive, timeout=10)
    return [process.info["name"] for process in left]


def leftovers(state_dir):
    url = f"unix://{state_dir}/run/supervisor.sock"
    # Names are read once: any of the processes may be gone a moment later.
    return [process for process in psutil.process_iter(["name"]) if supervisor_of(process) == url]


def supervisor_of(process):
    try:
        return process.environ().get("SUPERVISOR_SERVER_URL")
    except psutil.Error:
        return None


def send(process, number):
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(number)


if __name__ == "__main__":
    main()
