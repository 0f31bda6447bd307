"""The image is what it says: small, without tools, and content with the least a cluster may grant."""

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from catalog_server import __version__
from support.postgres import wait_until

PROJECT = Path(__file__).parents[2]
IMAGE = f"catalog-server:{__version__}"
DATABASE_IMAGE = "catalog-postgresql:15"
LEAST_RIGHTS = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges")
BUILD_SECONDS, RUN_SECONDS = 1500, 120

pytestmark = pytest.mark.timeout(BUILD_SECONDS + 300)


def docker(*words: str, check: bool = True, seconds: float = RUN_SECONDS) -> subprocess.CompletedProcess[str]:
    """Output of one command of the Docker client."""
    done = subprocess.run(["docker", *words], capture_output=True, text=True, timeout=seconds, check=False)
    assert not check or done.returncode == 0, f"docker {' '.join(words)}: {done.stderr}"
    return done


def build() -> str:
    """Output of the playbook that `make image` runs."""
    done = subprocess.run(
        [Path(sys.executable).parent / "ansible-playbook", "image.yml"],
        cwd=PROJECT / "playbooks",
        env=os.environ | {"LC_ALL": "C.UTF-8", "ANSIBLE_CONFIG": "ansible.cfg"},
        capture_output=True,
        text=True,
        timeout=BUILD_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module", autouse=True)
def images() -> None:
    """Both images are up to date."""
    try:
        engine = docker("info", check=False)
    except FileNotFoundError:
        pytest.skip("docker is not installed: as root, ansible-playbook docker-engine.yml does it on Debian")
    if engine.returncode:
        pytest.skip(f"no Docker engine answers ({engine.stderr.strip()})")
    build()


@pytest.fixture
def container() -> Iterator[str]:
    """A name for the test's container, which is removed afterwards."""
    name = f"test-image-{uuid.uuid4().hex[:8]}"
    yield name
    docker("rm", "--force", "--volumes", name, check=False)


def inspect(image: str) -> dict[str, Any]:
    return json.loads(docker("image", "inspect", image).stdout)[0]


def inside(*words: str) -> str:
    """Output of a program in a container of the image."""
    done = docker("run", "--rm", "--network=none", *LEAST_RIGHTS, f"--entrypoint={words[0]}", IMAGE, *words[1:])
    return done.stdout


def get(url: str) -> tuple[int, str]:
    """Status and body; 0 where nobody answers yet."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


def test_a_second_build_changes_nothing():
    before = [inspect(image)["Id"] for image in (IMAGE, DATABASE_IMAGE)]

    assert "changed=0 " in build()
    assert [inspect(image)["Id"] for image in (IMAGE, DATABASE_IMAGE)] == before


def test_it_is_smaller_than_200_megabytes():
    assert inspect(IMAGE)["Size"] < 200e6
    assert inspect(DATABASE_IMAGE)["Size"] < 200e6


def test_it_says_what_it_is():
    config = inspect(IMAGE)["Config"]

    assert config["Labels"]["org.opencontainers.image.title"] == "catalog-server"
    assert config["Labels"]["org.opencontainers.image.version"] == __version__
    assert config["Labels"]["org.opencontainers.image.revision"]
    assert (config["User"], config["StopSignal"]) == ("10001:10001", "SIGTERM")
    assert (config["Entrypoint"], config["Cmd"]) == (["catalog-server"], ["serve"])


def test_commands_work_with_the_least_rights():
    assert docker("run", "--rm", *LEAST_RIGHTS, IMAGE, "--version").stdout.strip().endswith(__version__)
    assert "serve" in docker("run", "--rm", *LEAST_RIGHTS, IMAGE, "--help").stdout

    dsn = ("--env", "CATALOG_DATABASE_DSN=sqlite:////tmp/catalog.db")
    assert "valid" in docker("run", "--rm", *LEAST_RIGHTS, *dsn, IMAGE, "config", "check").stdout
    refused = docker("run", "--rm", *LEAST_RIGHTS, IMAGE, "config", "check", check=False)
    assert refused.returncode == 1
    assert "database_dsn" in refused.stdout + refused.stderr


def test_it_serves_with_the_least_rights_and_ends_in_order(container: str):
    docker(
        "run", "--detach", f"--name={container}", *LEAST_RIGHTS, "--tmpfs=/tmp", "--publish=127.0.0.1::8080",
        "--env=CATALOG_HTTP_HOST=0.0.0.0", "--env=CATALOG_DATABASE_DSN=sqlite:////tmp/catalog.db",
        "--env=CATALOG_DRAIN_SECONDS=0.2", IMAGE,
    )  # fmt: skip
    url = "http://" + docker("port", container, "8080/tcp").stdout.split()[0]

    wait_until(lambda: get(f"{url}/readyz")[0] == 200, seconds=RUN_SECONDS)
    assert get(f"{url}/healthz")[0] == 200
    # Process 1 is the server itself: a shell in between would keep the signal from it.
    assert docker("exec", container, "id", "-u").stdout.strip() == "10001"
    assert "catalog-server" in docker("exec", container, "cat", "/proc/1/cmdline").stdout

    docker("stop", "--time=60", container)
    assert docker("inspect", "--format={{.State.ExitCode}}", container).stdout.strip() == "0"


def test_it_holds_no_tools_and_no_verification():
    script = """
        for program in pip pip3 gcc cc ha-verify ansible pytest; do command -v "$program"; done
        find / -xdev '(' -name 'ha_verify*' -o -name pip -o -name '*.whl' -o -path '*/.cache/*' ')' 2>/dev/null
        ls /var/lib/apt/lists
        find / -xdev -type f -perm /6000 2>/dev/null
        true
    """

    assert inside("sh", "-c", script) == ""


def test_everything_imports_without_compiling():
    """Nothing could be written, so what is not compiled would be compiled at every start."""
    code = (
        "import sys, catalog_server.app, catalog_server.cli, kubernetes_asyncio.client as client; client.CoreV1Api;"
        "print([name for name, module in sys.modules.items() if 'site-packages' in (getattr(module, '__file__', '') "
        "or '') and module.__file__.endswith('.py') and not __import__('os').path.exists(module.__cached__)])"
    )

    assert inside("/opt/catalog-server/bin/python", "-c", code).strip() == "[]"


def test_the_database_for_trials_starts_from_nothing(container: str):
    start = 'initdb --auth=trust > /dev/null && exec postgres -c listen_addresses=""'
    docker(
        "run", "--detach", f"--name={container}", *LEAST_RIGHTS, "--network=none",
        "--tmpfs=/tmp", "--tmpfs=/var/run/postgresql:uid=999,gid=999",
        "--tmpfs=/var/lib/postgresql/data:uid=999,gid=999,mode=0700", DATABASE_IMAGE, "sh", "-c", start,
    )  # fmt: skip

    wait_until(lambda: docker("exec", container, "pg_isready", check=False).returncode == 0, seconds=RUN_SECONDS)
    query = "select sum(length(to_tsvector('english', 'three catalogs')::text)) > 0, current_setting('server_version')"
    answer = docker("exec", container, "psql", "--tuples-only", "--no-align", "--command", query, "postgres").stdout
    assert answer.startswith("t|15.")
    assert docker("exec", container, "id").stdout.startswith("uid=999(postgres) gid=999(postgres)")
