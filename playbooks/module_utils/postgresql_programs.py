"""Runs PostgreSQL's own programs as its user, whose the folders are: it refuses to be root."""

import os
import subprocess


def run(folder, command, *, stdin=subprocess.DEVNULL, **environment):
    """The completed process, in the folder and with its owner's rights; nothing of our environment goes along."""
    return subprocess.run(  # noqa: S603
        [str(word) for word in command],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "PGCONNECT_TIMEOUT": "10"} | environment,
        stdin=stdin,
        capture_output=True,
        text=True,
        check=False,
        **account_of(folder),
    )


def account_of(folder):
    """For `subprocess`: the owner of the folder, where we are root and may become somebody else."""
    owner = folder.stat()
    return {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []} if os.geteuid() == 0 else {}


def hand_over(path, folder):
    """To the owner of the folder, and to nobody else."""
    owner = folder.stat()
    if os.geteuid() == 0:
        os.chown(path, owner.st_uid, owner.st_gid)
    path.chmod(0o700 if path.is_dir() else 0o600)
