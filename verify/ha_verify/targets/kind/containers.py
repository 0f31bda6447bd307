"""Processes of pods, seen from their node: signalled there, and cut off in their network namespace.

Everything here is a shell script for the node, which has containerd's `ctr`, `nsenter` and `iptables`; the pods'
own images need nothing.
"""

import asyncio
from collections.abc import Sequence

from ha_verify.targets.kind.nodes import Nodes
from ha_verify.targets.kind.pods import Pod
from ha_verify.targets.kind.services import Address
from ha_verify.targets.target import Cut, NotPossible, Signal

CHAINS = {"OUTPUT": "HA-VERIFY-OUT", "INPUT": "HA-VERIFY-IN"}
EFFECT_SECONDS = 10.0
SILENT_SECONDS = 2
# What becomes of a new connection, for each way to cut it.
SEEN_AS: dict[Cut, str] = {"refused": "refused", "frozen": "frozen", "deaf": "frozen", "mute": "frozen"}

_PID = """
pid_of() { ctr -n k8s.io tasks ls | awk -v id="$1" '$1 == id { print $2 }'; }
family() { echo "$1"; for child in $(cat /proc/"$1"/task/*/children 2>/dev/null || true); do family "$child"; done; }
"""
_SIGNAL = (
    _PID
    + """
pid=$(pid_of "$1"); test -n "$pid" || { echo "container $1 does not run here" >&2; exit 1; }
case $2 in TERM) who=$pid ;; *) who=$(family "$pid") ;; esac
kill -s "$2" $who || test "$2" = KILL || test "$2" = STOP
test "$2" = STOP || exit 0
# Again until none is left: one may have been forked while the others were told.
for _ in $(seq 50); do
  going=$(family "$pid" | sed 's#.*#/proc/&/status#' | xargs grep -Ls '^State:.[TZX]' || true)
  test -n "$going" || exit 0
  kill -s STOP $(family "$pid") 2>/dev/null || true
  sleep 0.1
done
echo "container $1 was sent SIGSTOP, and yet: $(grep -hs ^State $going)" >&2; exit 1
"""
)
_CUT = (
    _PID
    + """
pid=$(pid_of "$1"); test -n "$pid" || { echo "container $1 does not run here" >&2; exit 1; }; shift
how=$1; shift
inside() { nsenter -t "$pid" -n iptables -w "$@"; }
inside -N HA-VERIFY-OUT; inside -N HA-VERIFY-IN
while test $# -gt 0; do
  to="-p tcp -d $1 --dport $2"; from="-p tcp -s $1 --sport $2"; shift 2
  case $how in
    refused) inside -A HA-VERIFY-OUT $to -j REJECT --reject-with tcp-reset ;;
    frozen) inside -A HA-VERIFY-OUT $to -j DROP; inside -A HA-VERIFY-IN $from -j DROP ;;
    mute) inside -A HA-VERIFY-OUT $to -j DROP ;;
    deaf) inside -A HA-VERIFY-IN $from -j DROP ;;
  esac
done
inside -I OUTPUT -j HA-VERIFY-OUT; inside -I INPUT -j HA-VERIFY-IN
"""
)
_CONNECT = (
    _PID
    + """
pid=$(pid_of "$1"); test -n "$pid" || { echo gone; exit 0; }
code=0
nsenter -t "$pid" -n timeout "$4" bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$2" "$3" 2>/dev/null || code=$?
case $code in 0) echo open ;; 124) echo frozen ;; *) echo refused ;; esac
"""
)
# The first process of a container takes all others with it, those included that were run in it from outside.
_END = (
    _PID
    + """
pid=$(pid_of "$1")
for _ in $(seq 100); do
  test -n "$pid" && test -e "/proc/$pid" || { echo "no process of it is left"; exit 0; }
  kill -s KILL $(family "$pid") 2>/dev/null || true
  if grep -qs '^State:.[ZX]' "/proc/$pid/status"; then pid=; continue; fi
  sleep 0.05
done
echo "container $1 was sent SIGKILL, and yet is $(grep ^State "/proc/$pid/status")" >&2; exit 1
"""
)
# What the server on this port sends to these addresses is lost; what they send arrives.
_SILENCE = (
    _PID
    + """
pid=$(pid_of "$1"); test -n "$pid" || { echo "container $1 does not run here" >&2; exit 1; }
port=$2; shift 2
inside() { nsenter -t "$pid" -n iptables -w "$@"; }
inside -N HA-VERIFY-OUT; inside -N HA-VERIFY-IN
for to in "$@"; do inside -A HA-VERIFY-OUT -p tcp --sport "$port" -d "$to" -j DROP; done
inside -I OUTPUT -j HA-VERIFY-OUT; inside -I INPUT -j HA-VERIFY-IN
"""
)
# Nothing passes between it and these addresses, on whatever port and whoever began.
_ISOLATE = (
    _PID
    + """
pid=$(pid_of "$1"); test -n "$pid" || { echo "container $1 does not run here" >&2; exit 1; }; shift
inside() { nsenter -t "$pid" -n iptables -w "$@"; }
inside -N HA-VERIFY-OUT; inside -N HA-VERIFY-IN
for other in "$@"; do inside -A HA-VERIFY-OUT -d "$other" -j DROP; inside -A HA-VERIFY-IN -s "$other" -j DROP; done
inside -I OUTPUT -j HA-VERIFY-OUT; inside -I INPUT -j HA-VERIFY-IN
"""
)
# One container, or all of one namespace on this node; names those of which processes were stopped. A network that was
# never cut has no such chains.
_MEND = (
    _PID
    + """
tasks=$(ctr -n k8s.io tasks ls)
networks=" "
for id in ${2:-$(ctr -n k8s.io containers ls -q "labels.\\"io.kubernetes.pod.namespace\\"==$1")}; do
  pid=$(awk -v id="$id" '$1 == id { print $2 }' <<<"$tasks"); test -n "$pid" || continue
  stopped=$(family "$pid" | sed 's#.*#/proc/&/status#' | xargs grep -ls '^State:.T' || true)
  test -z "$stopped" || echo "$id"
  for status in $stopped; do kill -s CONT "$(basename "$(dirname "$status")")" || true; done
  network=$(readlink "/proc/$pid/ns/net") || continue  # it ended meanwhile
  case $networks in *" $network "*) continue ;; esac
  networks="$networks$network "
  nsenter -t "$pid" -n iptables-save -t filter 2>/dev/null | grep -q HA-VERIFY || continue
  nsenter -t "$pid" -n bash -c '
    iptables -w -D OUTPUT -j HA-VERIFY-OUT; iptables -w -D INPUT -j HA-VERIFY-IN
    for chain in HA-VERIFY-OUT HA-VERIFY-IN; do iptables -w -F $chain; iptables -w -X $chain; done' || true
done
"""
)


class Containers:
    """Acts on pods that it is given: whoever gives them vouches that they are the deployment's own."""

    def __init__(self, nodes: Nodes, namespace: str) -> None:
        self._nodes = nodes
        self._namespace = namespace

    async def signal(self, pod: Pod, signal: Signal) -> None:
        """To the container's first process, and but for TERM to its children, so that none of them goes on alone.

        Returns when all that were sent STOP are stopped. Raises `NotPossible` where it does not run.
        """
        self._require_running(pod)
        await self._nodes.script(pod.node, _SIGNAL, pod.container, signal)

    async def end(self, pod: Pod) -> str:
        """Kills it, and returns when no process of it is left; in words. Nothing happens where it does not run."""
        return (await self._nodes.script(pod.node, _END, pod.container)).strip()

    async def silence(self, pod: Pod, port: int, others: Sequence[str]) -> None:
        """Nothing that its server on this port sends to the others arrives, although connections stay."""
        self._require_running(pod)
        await self.mend(pod.node, pod)
        await self._nodes.script(pod.node, _SILENCE, pod.container, str(port), *others)

    async def cut_off(self, pod: Pod, how: Cut, addresses: Sequence[Address]) -> str:
        """From these addresses (all as the pod sees them, so before kube-proxy translates them).

        Returns what a connection to the first was seen to be. Raises `NotPossible` where it is not as wanted.
        """
        if how not in SEEN_AS:
            raise NotPossible(f"{how}: a packet filter can not accept a connection and end it")
        self._require_running(pod)
        await self.mend(pod.node, pod)
        words = [word for host, port in addresses for word in (host, str(port))]
        await self._nodes.script(pod.node, _CUT, pod.container, how, *words)
        return await self._expect(pod, addresses[0], SEEN_AS[how])

    async def isolate(self, pod: Pod, addresses: Sequence[Address]) -> str:
        """From all that these hosts send, and from all that is sent to them. Returns what a connection to the first was
        seen to be. Raises `NotPossible` where that is not `frozen`."""
        self._require_running(pod)
        await self.mend(pod.node, pod)
        await self._nodes.script(pod.node, _ISOLATE, pod.container, *dict.fromkeys(host for host, _ in addresses))
        return await self._expect(pod, addresses[0], "frozen")

    async def reconnect(self, pod: Pod, addresses: Sequence[Address]) -> str:
        """Nothing is done where it is connected; returns what a connection was seen to be."""
        await self.mend(pod.node, pod)
        return await self._expect(pod, addresses[0], "open")

    async def mend(self, node: str, pod: Pod | None = None) -> list[str]:
        """Lets stopped processes of the pod go on, and takes away what cuts it off; of all pods of our namespace on
        this node where none is named. Returns the containers of which processes were stopped."""
        told = await self._nodes.script(node, _MEND, self._namespace, *([pod.container] if pod else []))
        return told.split()

    async def _expect(self, pod: Pod, address: Address, wanted: str) -> str:
        seen = "nothing"
        try:
            async with asyncio.timeout(EFFECT_SECONDS):
                while seen != wanted:
                    words = (pod.container, address[0], str(address[1]), str(SILENT_SECONDS))
                    seen = (await self._nodes.script(pod.node, _CONNECT, *words)).strip()
        except TimeoutError:
            raise NotPossible(
                f"connections of {pod.name} to {address[0]}:{address[1]} are {seen}, although they were to be {wanted}"
            ) from None
        return seen

    def _require_running(self, pod: Pod) -> None:
        if not pod.running:
            raise NotPossible(f"{pod.name} does not run")
