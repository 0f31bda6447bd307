#!/usr/bin/python
"""Checks, before anything is changed, that the deployment can work here; finds where its programs are.

Every problem is reported at once, each naming the variable, its value and the remedy.
"""

import errno
import ipaddress
import os
import re
import socket
from pathlib import Path

import psutil
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.installation import access_problems, installation
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.module_utils.variable_problems import plain_path_problems, switch_problems, time_problems

from catalog_server.catalog.sources_file import SourcesFileError, parse_sources

MEMBERS_MAX = 5  # of the database
AUTOMATIC_MEMBERS_MIN = 3
SOCKET_PATH_BYTES = 107  # what the kernel allows
LONGEST_SOCKET = "/run/database-proxy-9.sock.4194304.tmp"  # as HAProxy calls it until it listens


def main():
    module = AnsibleModule(
        argument_spec={
            "variables": {"type": "dict", "required": True},
            "project_dir": {"type": "path", "required": True},
            "replicas_max": {"type": "int", "required": True},
            "marker_file": {"type": "path", "required": True},
            "must_be_deployed": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    variables, project_dir = module.params["variables"], Path(module.params["project_dir"])
    problems = path_problems(variables["state_dir"]) + address_problems(variables["http_host"])
    problems += number_problems(variables, module.params["replicas_max"])
    problems += plain_path_problems("postgresql_backup_dir", variables["postgresql_backup_dir"])
    problems += switch_problems(variables, "postgresql_backups", "postgresql_backup_before_migrations")
    problems += time_problems("postgresql_backup_time", variables["postgresql_backup_time"])
    problems += sources_problems(Path(variables["sources_file"]))
    problems += folder_problems(variables["state_dir"], module.params["marker_file"], module.params["must_be_deployed"])
    if not problems:
        problems += port_problems(wanted_ports(variables), variables["state_dir"])
    facts = {}
    if not problems:
        facts = installation(project_dir, variables["state_dir"])
        problems += failover_problems(variables, facts["etcd"])
    if not problems:
        problems += access_problems(facts, variables)
    if problems:
        module.fail_json(msg="\n".join(["The deployment cannot work like this:"] + [f"- {p}" for p in problems]))
    module.exit_json(changed=False, ansible_facts={"installation": facts})


def path_problems(state_dir):
    if problems := plain_path_problems("state_dir", state_dir):
        return problems
    if len(os.fsencode(state_dir)) + len(LONGEST_SOCKET) > SOCKET_PATH_BYTES:
        return [f"state_dir = {state_dir}: too long for the path of a socket. Set state_dir to a shorter path"]
    return []


def address_problems(http_host):
    try:
        ipaddress.IPv4Address(http_host)
    except ValueError:
        return [f"http_host = {http_host}: must be an IPv4 address of this machine. Set http_host to 127.0.0.1"]
    return []


def sources_problems(path):
    """What the server itself would say about its sources file."""
    try:
        parse_sources(path.read_bytes(), path=path, default_refresh_interval_seconds=1)
    except OSError as error:
        return [f"sources_file = {path}: {error.strerror}. Set sources_file to a file that you may read"]
    except SourcesFileError as error:
        return [f"sources_file = {error}"]
    return []


def folder_problems(state_dir, marker_file, must_be_deployed):
    """A folder is either marked as a deployment's, or empty or missing."""
    folder = Path(state_dir)
    if Path(marker_file).is_file():
        return []
    if must_be_deployed:
        return [f"state_dir = {state_dir}: nothing is deployed there. Run `make deploy` first"]
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        return [
            f"state_dir = {state_dir}: holds something that is not a deployment. "
            "Set state_dir to a folder that is empty or does not exist"
        ]
    return []


def number_problems(variables, replicas_max):
    ports = dict.fromkeys(("http_port", "haproxy_stats_port", "postgresql_port"), (1, 65535))
    ports["postgresql_port"] = (1, 65535 - MEMBERS_MAX + 1)
    ports["replica_port_base"] = (1, 65535 - replicas_max + 1)
    ports["database_proxy_port_base"] = (1, 65535 - replicas_max)
    ports["postgresql_failover_port_base"] = (1, 65535 - MEMBERS_MAX)
    problems = []
    counts = {
        "replicas": (1, replicas_max),
        "postgresql_members": (1, MEMBERS_MAX),
        "postgresql_synchronous_replicas": (0, MEMBERS_MAX - 1),
        "postgresql_backup_full_every": (1, 99),
        "postgresql_backup_keep_full": (1, 999),
        "postgresql_backup_keep_dumps": (1, 999),
    }
    for name, (low, high) in (counts | ports).items():
        if not re.fullmatch(r"\d{1,5}", str(variables[name])) or not low <= int(variables[name]) <= high:
            problems.append(
                f"{name} = {variables[name]}: must be a whole number from {low} to {high}. "
                f"Set {name} in playbooks/inventories/local/group_vars/all.yml, or with -e {name}=..."
            )
    for name in (
        "leadership_lease_seconds",
        "leadership_renew_deadline_seconds",
        "leadership_retry_seconds",
        "drain_seconds",
        "shutdown_grace_seconds",
        "ready_timeout_seconds",
    ):
        if not re.fullmatch(r"\d+(\.\d+)?", str(variables[name])):
            problems.append(f"{name} = {variables[name]}: must be a number of seconds. Set {name} to one")
    return problems or timing_problems(variables) + replication_problems(variables)


def replication_problems(variables):
    members, synchronous = (int(variables[f"postgresql_{name}"]) for name in ("members", "synchronous_replicas"))
    problems = []
    if members > 1 and synchronous >= members:
        problems.append(
            f"postgresql_synchronous_replicas = {synchronous}: must be less than postgresql_members, which is "
            f"{members}, or no write would ever be acknowledged. The default is 1"
        )
    if members > 1 and boolean(variables["database_proxies"]):
        problems.append(
            f"database_proxies = {variables['database_proxies']}: a proxy stands before one member only, and "
            f"postgresql_members is {members}. Set one of the two to its default"
        )
    return problems


def failover_problems(variables, etcd):
    failover, members = variables["postgresql_failover"], int(variables["postgresql_members"])
    if failover == "manual":
        return []
    if failover != "automatic":
        return [f"postgresql_failover = {failover}: must be manual or automatic. The default is manual"]
    problems = []
    if members < AUTOMATIC_MEMBERS_MIN:
        problems.append(
            f"postgresql_failover = automatic: needs {AUTOMATIC_MEMBERS_MIN} members, so that two are left when one is "
            f"lost, and postgresql_members is {members}. Set it to {AUTOMATIC_MEMBERS_MIN} or more"
        )
    if not etcd:
        problems.append(
            "postgresql_failover = automatic: needs etcd, which is neither on the PATH nor in .cache/kubernetes/bin. "
            "Run `make etcd`, which builds it with Go, or as root on Debian: apt-get install etcd-server"
        )
    # It hangs on a logical slot of the primary, which Patroni would have to carry over to the next one.
    if variables["postgresql_wal_level"] != "replica":
        problems.append(
            f"postgresql_wal_level = {variables['postgresql_wal_level']}: a second region is not possible with "
            "postgresql_failover = automatic. Set one of the two to its default"
        )
    return problems


def timing_problems(variables):
    lease, renew, retry = (
        float(variables[f"leadership_{name}_seconds"]) for name in ("lease", "renew_deadline", "retry")
    )
    if lease > renew > 1.2 * retry > 0:
        return []
    return [
        f"leadership_lease_seconds = {lease:g}, leadership_renew_deadline_seconds = {renew:g}, "
        f"leadership_retry_seconds = {retry:g}: must be lease > renew deadline > 1.2 x retry > 0. "
        "The defaults are 15, 10 and 2"
    ]


def wanted_ports(variables):
    """(port, variable that sets it, what listens there) for every port of the deployment."""
    base = int(variables["replica_port_base"])
    ports = [
        (int(variables["http_port"]), "http_port", "the load balancer"),
        (int(variables["haproxy_stats_port"]), "haproxy_stats_port", "HAProxy's page"),
    ]
    first = int(variables["postgresql_port"])
    members = range(1, int(variables["postgresql_members"]) + 1)
    ports += [(first + i - 1, "postgresql_port", "PostgreSQL" if i == 1 else f"postgresql-{i}") for i in members]
    if variables["postgresql_failover"] == "automatic":
        first = int(variables["postgresql_failover_port_base"])
        ports.append((first, "postgresql_failover_port_base", "etcd"))
        ports += [(first + i, "postgresql_failover_port_base", f"the Patroni of member {i}") for i in members]
    replicas = int(variables["replicas"])
    ports += [(base + i, "replica_port_base", f"replica-{i + 1}") for i in range(replicas)]
    if boolean(variables["database_proxies"]):
        base = int(variables["database_proxy_port_base"])
        ports += [(base + i, "database_proxy_port_base", f"database-proxy-{i}") for i in range(1, replicas + 1)]
    return ports


def port_problems(ports, state_dir):
    problems, seen = [], {}
    for port, variable, purpose in ports:
        if port in seen:
            problems.append(
                f"port {port} is wanted twice, for {seen[port]} and for {purpose}. Set {variable} to another"
            )
        elif is_taken(port):
            holders = listeners(port)
            if not any(belongs(holder, state_dir) for holder in holders):
                by = ", ".join(f"process {p.pid} ({p.name()})" for p in holders) or "another user's process"
                problems.append(
                    f"port {port}, wanted for {purpose}, is taken by {by}. "
                    f"Stop it, or set {variable} to another: make deploy ARGS='-e {variable}=...'"
                )
        seen[port] = purpose
    return problems


def is_taken(port):
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
            listener.listen()
        except OSError as error:
            return error.errno == errno.EADDRINUSE  # others, the service itself explains
    return False


def listeners(port):
    """The processes that listen there, as far as this user may know them."""
    try:
        connections = psutil.net_connections("tcp")
    except psutil.AccessDenied:
        return []
    pids = {
        connection.pid
        for connection in connections
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid
    }
    return [psutil.Process(pid) for pid in sorted(pids) if psutil.pid_exists(pid)]


def belongs(process, state_dir):
    """Started by this deployment's supervisor, whose address is in the environment of its children."""
    try:
        return process.environ().get("SUPERVISOR_SERVER_URL") == f"unix://{state_dir}/run/supervisor.sock"
    except psutil.Error:
        return False


if __name__ == "__main__":
    main()
