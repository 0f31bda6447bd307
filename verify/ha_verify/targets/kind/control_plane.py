"""The API server of the cluster, taken away and given back. What runs on the nodes goes on without it."""

from typing import Literal

from ha_verify.targets.kind.api import Api, ApiRefusal
from ha_verify.targets.kind.nodes import Nodes
from ha_verify.targets.target import NotPossible

PATIENCE_SECONDS = 2.0

# Not on the loopback interface: by that the API server speaks to itself.
_REFUSE = """
iptables -w -N HA-VERIFY-API
iptables -w -A HA-VERIFY-API -p tcp --dport 6443 -j REJECT --reject-with tcp-reset
iptables -w -I INPUT ! -i lo -j HA-VERIFY-API
"""
_FREEZE = "kill -s STOP $(pgrep -x kube-apiserver)"
_MEND = """
pids=$(pgrep -x kube-apiserver || true)
for pid in $pids; do if grep -q '^State:.T' "/proc/$pid/status"; then kill -s CONT "$pid"; fi; done
if iptables-save -t filter | grep -q HA-VERIFY-API; then
  iptables -w -D INPUT ! -i lo -j HA-VERIFY-API || true
  iptables -w -F HA-VERIFY-API; iptables -w -X HA-VERIFY-API
fi
"""


class ControlPlane:
    """Frozen: connections stay open, and nothing comes. Refused: they end, and new ones are refused."""

    def __init__(self, nodes: Nodes, api: Api) -> None:
        self._nodes = nodes
        self._api = api

    async def break_api(self, how: Literal["frozen", "refused"]) -> str:
        """Returns what was seen of it. Raises `NotPossible` where it answers all the same."""
        await self._nodes.script(await self._nodes.control_plane(), _FREEZE if how == "frozen" else _REFUSE)
        try:
            await self._api.get("/version", seconds=PATIENCE_SECONDS)
        except ApiRefusal as error:
            if not error.status:
                return str(error)
        raise NotPossible("the API server was taken away, and yet answers")

    async def mend(self) -> None:
        """Nothing happens where nothing is wrong; does not wait."""
        await self._nodes.script(await self._nodes.control_plane(), _MEND)
