"""What is wrong is refused before anything changes, with the field, the value and the remedy."""

import pytest

from e2e.cluster import Cluster


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"replicas": 0}, "replicas"),
        ({"replicas": "three"}, "three"),
        ({"kind_http_port": 99}, "kind_http_port"),
        ({"leadership_retry_seconds": 20}, "leadership_retry_seconds"),
        ({"settings": {"log_levle": "info"}}, "log_levle"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_a_wrong_variable_is_named_and_changes_nothing(
    variables: dict[str, object], words: str, release: Cluster
) -> None:
    before = {pod["metadata"]["uid"] for pod in release.pods()}
    output = release.play("deploy.yml", succeed=False, **variables)
    assert words in output
    assert {pod["metadata"]["uid"] for pod in release.pods()} == before
