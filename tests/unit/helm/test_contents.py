"""What the server is told: settings, sources, migrations, the trial database, and what a person adds."""

from pathlib import Path

import pytest
import yaml

from catalog_server.config import Settings, load_settings
from unit.helm.chart import EXTERNAL, RELEASE, TRIAL, Object, Values, defaults, needs_helm, render, schema

pytestmark = needs_helm

SOURCES = {"sources.yaml": "catalogs: []\n", "house-catalog.yaml": "source: House\n"}
SETTINGS = {"log_level": "debug", "refresh_interval_seconds": 0.5, "source_max_bytes": 67108864, "auth_reads": True}


def volume(spec: Object, name: str) -> Object:
    (found,) = (each for each in spec["volumes"] if each["name"] == name)
    return dict(found)


@pytest.mark.parametrize("values", [{}, {"settings": SETTINGS}, {"sources": {"files": SOURCES}}])
def test_the_server_accepts_its_settings_as_the_chart_writes_them(
    values: Values, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered = render(TRIAL, values)
    path = tmp_path / "catalog.yaml"
    path.write_text(yaml.safe_dump(rendered.settings))
    monkeypatch.setenv("CATALOG_CONFIG_FILE", str(path))
    monkeypatch.setenv("CATALOG_DATABASE_DSN", "postgresql://catalog@db/catalog")
    monkeypatch.setenv("CATALOG_AUTH_SECRET", "x" * 64)
    settings = load_settings()
    assert (settings.http_host, settings.leadership_backend) == ("0.0.0.0", "kubernetes")
    for name, value in values.get("settings", {}).items():
        assert getattr(settings, name) == value


def test_the_schema_knows_every_setting_of_the_server() -> None:
    assert schema()["properties"]["settings"]["properties"].keys() == Settings.model_fields.keys()


def test_every_value_can_be_changed_and_none_is_unknown() -> None:
    """The schema and the defaults name the same values, but for those whose default is another's."""
    optional = {"global", "initialDelaySeconds", "successThreshold", "claims", *Settings.model_fields}

    def compare(values: Object, properties: Object, path: str) -> None:
        assert values.keys() - optional == properties.keys() - optional, path
        for name, value in values.items():
            if "properties" in properties[name]:
                compare(value, properties[name]["properties"], f"{path}.{name}")

    compare(defaults(), schema()["properties"], "values")


def test_changed_settings_replace_the_pods_and_changed_sources_do_not() -> None:
    def annotations(values: Values) -> Object:
        return dict(render(TRIAL, values).get("Deployment")["spec"]["template"]["metadata"]["annotations"])

    assert annotations({}) != annotations({"settings": {"log_level": "debug"}})
    assert annotations({"sources": {"files": SOURCES}}) == annotations(
        {"sources": {"files": SOURCES | {"sources.yaml": "catalogs: [] # changed\n"}}}
    )


def test_sources_are_beside_each_other_where_the_server_looks_for_them() -> None:
    rendered = render(TRIAL, {"sources": {"files": SOURCES}})
    assert rendered.get("ConfigMap", f"{RELEASE}-sources")["data"] == SOURCES
    assert volume(rendered.pod, "sources")["configMap"] == {"name": f"{RELEASE}-sources"}
    (mount,) = (each for each in rendered.container["volumeMounts"] if each["name"] == "sources")
    assert mount["mountPath"] == "/etc/catalog-server/sources"
    assert "subPath" not in mount  # a file that is mounted by itself is never updated
    assert rendered.settings["sources_file"] == "/etc/catalog-server/sources/sources.yaml"


def test_sources_can_be_in_a_configmap_of_your_own() -> None:
    rendered = render(TRIAL, {"sources": {"existingConfigMap": "mine"}})
    assert not rendered.has("ConfigMap", f"{RELEASE}-sources")
    assert volume(rendered.pod, "sources")["configMap"] == {"name": "mine"}
    assert rendered.settings["sources_file"] == "/etc/catalog-server/sources/sources.yaml"


def test_without_sources_the_server_keeps_those_of_the_database() -> None:
    rendered = render(TRIAL)
    assert "sources_file" not in rendered.settings
    assert "sources" not in {each["name"] for each in rendered.pod["volumes"]}


def test_replicas_migrate_by_themselves() -> None:
    rendered = render(EXTERNAL)
    assert not rendered.has("Job", f"{RELEASE}-migrations")
    assert "migrations" not in rendered.settings


def test_a_job_migrates_before_the_release_and_the_replicas_wait() -> None:
    values = {"migrations": {"mode": "job", "jobTimeoutSeconds": 99}, "nodeSelector": {"a": "b"}}
    rendered = render(EXTERNAL, values, {"extraVolumes": [{"name": "ca", "secret": {"secretName": "ca"}}]})
    job = rendered.get("Job", f"{RELEASE}-migrations")
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    assert job["spec"]["activeDeadlineSeconds"] == 99
    pod = job["spec"]["template"]["spec"]
    assert pod["containers"][0]["args"] == ["db", "upgrade"]
    assert pod["nodeSelector"] == {"a": "b"}
    assert volume(pod, "database")["secret"]["secretName"] == "my-database"
    assert volume(pod, "ca")
    assert "serviceAccountName" not in pod  # the hook runs before there is one
    assert rendered.settings["migrations"] == "wait"


def test_reads_have_an_address_of_their_own_where_one_is_named() -> None:
    rendered = render(EXTERNAL, {"externalDatabase": {"readDsnKey": "standby"}})
    assert {"name": "CATALOG_READ_DSN_FILE", "value": "/etc/catalog-server/database/read_dsn"} in rendered.container[
        "env"
    ]
    assert {"key": "standby", "path": "read_dsn"} in volume(rendered.pod, "database")["secret"]["items"]
    without = render(EXTERNAL)
    assert "CATALOG_READ_DSN_FILE" not in {each["name"] for each in without.container["env"]}
    assert [each["path"] for each in volume(without.pod, "database")["secret"]["items"]] == ["database_dsn"]


def test_an_external_database_brings_nothing_of_a_trial() -> None:
    assert not [each for each in render(EXTERNAL) if each["metadata"]["name"] == f"{RELEASE}-postgresql"]


def test_the_trial_database_says_what_it_is_for() -> None:
    database = render(TRIAL).get("StatefulSet", f"{RELEASE}-postgresql")
    assert "trials only" in database["metadata"]["annotations"]["catalog-server/purpose"]
    assert database["spec"]["replicas"] == 1


def test_the_trial_database_keeps_its_data_unless_told_otherwise() -> None:
    (claim,) = render(TRIAL).get("StatefulSet", f"{RELEASE}-postgresql")["spec"]["volumeClaimTemplates"]
    assert claim["spec"]["resources"]["requests"]["storage"] == "1Gi"
    values = {"postgresql": {"persistence": {"size": "5Gi", "storageClass": "fast"}}}
    (claim,) = render(TRIAL, values).get("StatefulSet", f"{RELEASE}-postgresql")["spec"]["volumeClaimTemplates"]
    assert claim["spec"]["resources"]["requests"]["storage"] == "5Gi"
    assert claim["spec"]["storageClassName"] == "fast"
    gone = render(TRIAL, {"postgresql": {"persistence": {"enabled": False}}})
    spec = gone.get("StatefulSet", f"{RELEASE}-postgresql")["spec"]
    assert "volumeClaimTemplates" not in spec
    assert volume(spec["template"]["spec"], "data") == {"name": "data", "emptyDir": {}}


def test_a_volume_of_root_s_is_handed_over_only_if_that_is_asked_for() -> None:
    def pod(values: Values) -> Object:
        database = render(TRIAL, values).get("StatefulSet", f"{RELEASE}-postgresql")
        return dict(database["spec"]["template"]["spec"])

    assert "initContainers" not in pod({})
    (container,) = pod({"postgresql": {"persistence": {"takeOwnership": True}}})["initContainers"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"], "add": ["CHOWN"]}
    assert "initContainers" not in pod({"postgresql": {"persistence": {"takeOwnership": True, "enabled": False}}})


def test_the_trial_database_runs_the_image_and_where_it_is_told() -> None:
    image = {"repository": "catalog-postgresql", "tag": "15", "pullPolicy": "Never"}
    values = {"postgresql": {"image": image, "nodeSelector": {"a": "b"}, "tolerations": [{"key": "t"}]}}
    rendered = render(TRIAL, values)
    pod = rendered.get("StatefulSet", f"{RELEASE}-postgresql")["spec"]["template"]["spec"]
    assert (pod["containers"][0]["image"], pod["containers"][0]["imagePullPolicy"]) == (
        "catalog-postgresql:15",
        "Never",
    )
    assert (pod["nodeSelector"], pod["tolerations"]) == ({"a": "b"}, [{"key": "t"}])
    assert pod["containers"][0]["name"] == "postgresql"
    scripts = rendered.get("ConfigMap", f"{RELEASE}-postgresql")["data"]
    assert scripts.keys() == {"start-postgresql.sh", "pg_hba.conf"}
    assert "trust" not in scripts["pg_hba.conf"]


def test_the_image_of_the_server_is_the_chart_s_version_unless_told_otherwise() -> None:
    chart = yaml.safe_load((Path(__file__).parents[3] / "helm/catalog-server/Chart.yaml").read_text())
    assert render(TRIAL).container["image"] == f"catalog-server:{chart['appVersion']}"
    values = {"image": {"repository": "registry.example.com/catalog", "tag": "1.2", "pullPolicy": "Always"}}
    rendered = render(TRIAL, values, {"imagePullSecrets": [{"name": "registry"}]})
    assert rendered.container["image"] == "registry.example.com/catalog:1.2"
    assert rendered.container["imagePullPolicy"] == "Always"
    assert rendered.pod["imagePullSecrets"] == [{"name": "registry"}]


def test_the_chart_is_of_the_server_s_version() -> None:
    from catalog_server import __version__

    chart = yaml.safe_load((Path(__file__).parents[3] / "helm/catalog-server/Chart.yaml").read_text())
    assert chart["appVersion"] == chart["version"] == __version__


def test_the_command_of_the_image_is_kept_unless_replaced() -> None:
    assert "command" not in render(TRIAL).container
    assert render(TRIAL, {"command": ["python3", "x.py"]}).container["command"] == ["python3", "x.py"]


def test_what_a_person_adds_is_added_to_the_pods_of_the_server() -> None:
    extra = {"name": "ca", "configMap": {"name": "ca"}}
    rendered = render(
        TRIAL,
        {
            "podAnnotations": {"a": "1"},
            "podLabels": {"b": "2"},
            "nodeSelector": {"c": "3"},
            "priorityClassName": "high",
            "extraEnv": [{"name": "TZ", "value": "UTC"}],
            "extraVolumes": [extra],
            "extraVolumeMounts": [{"name": "ca", "mountPath": "/ca"}],
            "resources": {"requests": {"cpu": "1", "memory": "1Gi"}},
        },
    )
    metadata = rendered.get("Deployment")["spec"]["template"]["metadata"]
    assert metadata["annotations"]["a"] == "1"
    assert metadata["labels"]["b"] == "2"
    assert (rendered.pod["nodeSelector"], rendered.pod["priorityClassName"]) == ({"c": "3"}, "high")
    assert {"name": "TZ", "value": "UTC"} in rendered.container["env"]
    assert extra in rendered.pod["volumes"]
    assert {"name": "ca", "mountPath": "/ca"} in rendered.container["volumeMounts"]
    assert rendered.container["resources"]["requests"]["cpu"] == "1"


def test_another_release_shares_no_name_with_this_one() -> None:
    def names(release: str) -> set[str]:
        return {each["metadata"]["name"] for each in render(TRIAL, release=release)}

    assert not names("catalog-server") & names("other")
    settings = render(TRIAL, release="other").get("ConfigMap", "other-config")["data"]["catalog.yaml"]
    assert yaml.safe_load(settings)["leadership_lease_name"] == "other"
