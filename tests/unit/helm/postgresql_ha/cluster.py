"""The chart of PostgreSQL, as helm renders it."""

import json
from typing import Any

import yaml

from unit.helm.chart import PROJECT, Object, Rendered, Values, template

CHART = PROJECT / "helm" / "postgresql-ha"
RELEASE = "catalog-db"
DOMAIN = "catalog.svc.cluster.local"

POOLER: Values = {"pooler": {"enabled": True}}
METRICS: Values = {"metrics": {"enabled": True, "podMonitor": {"enabled": True}, "prometheusRule": {"enabled": True}}}
DUMPS: Values = {"dumps": {"enabled": True}}
NO_TLS: Values = {"tls": {"enabled": False}}
OWN_SECRETS: Values = {"auth": {"existingSecret": "my-passwords"}, "tls": {"existingSecret": "my-tls"}}


class Cluster(Rendered):
    """The objects of one release."""

    def get(self, kind: str, name: str = RELEASE) -> Object:
        return super().get(kind, name)

    def has(self, kind: str, name: str = RELEASE) -> bool:
        return super().has(kind, name)

    @property
    def pod(self) -> Object:
        """The pod of a member."""
        spec: Object = self.get("StatefulSet")["spec"]["template"]["spec"]
        return spec

    @property
    def container(self) -> Object:
        """PostgreSQL's."""
        (found,) = (each for each in self.pod["containers"] if each["name"] == "postgresql")
        return dict(found)

    @property
    def patroni(self) -> dict[str, Any]:
        """As a member reads it, but for the passwords."""
        return dict(yaml.safe_load(self.get("ConfigMap", f"{RELEASE}-patroni")["data"]["patroni.yaml"]))

    @property
    def configuration(self) -> dict[str, Any]:
        """What holds for all members."""
        return dict(self.patroni["bootstrap"]["dcs"])


def render(*values: Values, release: str = RELEASE) -> Cluster:
    """The values are laid over each other, later ones win. Raises `Refused`."""
    return Cluster(template(CHART, release, *(json.dumps(each) for each in values)))
