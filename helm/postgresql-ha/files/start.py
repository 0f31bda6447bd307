"""Starts Patroni: gives it the chart's configuration and, in a file that is never on a disk, the passwords."""

import json
import os
import subprocess
import sys
from pathlib import Path

CONFIGURATION = Path("/etc/patroni/patroni.yaml")
PASSWORDS = Path("/secrets/passwords")
RUN = Path("/run/patroni")
VOLUME = Path("/var/lib/postgresql/data")
VERSION = VOLUME / "pgdata" / "PG_VERSION"


def obstacle():
    """Why it would be no use to start, with the remedy; None where it is."""
    if not os.access(VOLUME, os.W_OK):
        return (
            f"{VOLUME} belongs to {VOLUME.owner()}: the volume does not heed the pod's fsGroup. Set "
            "persistence.takeOwnership=true, or use another persistence.storageClass"
        )
    if VERSION.exists():
        version = ["postgres", "--version"]
        told = subprocess.run(version, capture_output=True, text=True, check=True).stdout  # noqa: S603
        major, of_the_data = told.split()[2].partition(".")[0], VERSION.read_text(encoding="utf-8").strip()
        if of_the_data != major:
            return (
                f"image: it has PostgreSQL {major}, the volume has data of {of_the_data}. Use an image of that "
                "version, and dump and restore into a new release to change it"
            )
    return None


def with_passwords():
    """What the chart's configuration lacks; Patroni lays the files of a folder over each other."""

    def password(name):
        return (PASSWORDS / f"{name}_password").read_text(encoding="utf-8").rstrip("\n")

    return {
        "restapi": {"authentication": {"username": "patroni", "password": password("restapi")}},
        "postgresql": {
            "authentication": {role: {"password": password(role)} for role in ("replication", "rewind")},
        },
    }


def main():
    problem = obstacle()
    if problem:
        sys.exit(problem)
    os.umask(0o077)
    # A link, so that Patroni sees a change of the ConfigMap when it is told to read its configuration again.
    chart = RUN / "1-chart.yaml"
    chart.unlink(missing_ok=True)
    chart.symlink_to(CONFIGURATION)
    (RUN / "2-passwords.yaml").write_text(json.dumps(with_passwords()), encoding="utf-8")
    os.execvp("patroni", ["patroni", str(RUN)])  # noqa: S606, S607


if __name__ == "__main__":
    main()
