"""Where Services lead: their own addresses, as pods have them, and those of what is behind them."""

from ha_verify.targets.kind.api import Api

Address = tuple[str, int]


class Services:
    """Asked each time: what is behind a Service changes."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def addresses(self, namespace: str, name: str) -> list[Address]:
        spec = (await self._api.get(f"/api/v1/namespaces/{namespace}/services/{name}"))["spec"]
        addresses: list[Address] = []
        if spec.get("clusterIP") not in (None, "", "None"):
            addresses += [(spec["clusterIP"], int(port["port"])) for port in spec["ports"]]
        slices = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
        for item in (await self._api.get(f"{slices}?labelSelector=kubernetes.io/service-name={name}"))["items"]:
            for endpoint in item["endpoints"]:
                addresses += [(endpoint["addresses"][0], int(port["port"])) for port in item["ports"]]
        return addresses

    async def api_server(self) -> list[Address]:
        return await self.addresses("default", "kubernetes")
