"""A changed configuration is a changed program, which supervisord runs anew: the template must not lose that line."""

from pathlib import Path

from jinja2 import Environment

TEMPLATE = Path(__file__).parents[2] / "playbooks" / "roles" / "postgresql" / "templates" / "program.conf"


def rendered(configuration: str) -> list[str]:
    """As Ansible renders it: it drops the line end behind a block or a comment."""
    environment = Environment(trim_blocks=True, autoescape=False)
    environment.filters["hash"] = lambda text, _: f"hash of {text}"
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    values = {"ansible_managed": "managed", "installation": {"is_root": False, "postgresql_bin": "/bin"}}
    return template.render(**values, lookup=lambda *_: configuration).splitlines()


def test_a_member_is_run_anew_where_its_configuration_changes() -> None:
    assert 'environment = CONFIGURATION="hash of port = 1"' in rendered("port = 1")
