"""Every fault there is, and those that a random schedule draws from, by name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random

from ha_verify.faults.api_server import ApiServerOutage, LoseState
from ha_verify.faults.clock import ShiftClock
from ha_verify.faults.cold_start import ColdStart
from ha_verify.faults.database import Database, ExhaustConnections, PauseDatabase, TerminateBackends
from ha_verify.faults.disaster import DeleteRows, LoseAllData, LosePrimaryWithData
from ha_verify.faults.disk import FillDisk
from ha_verify.faults.fault import Fault
from ha_verify.faults.load_balancer import RestartLoadBalancer
from ha_verify.faults.members import LosePrimary, LoseReplica, SwitchOver
from ha_verify.faults.migrating_primary import LoseMigratingPrimary
from ha_verify.faults.network import CutOffLeader, CutOffReplica
from ha_verify.faults.nodes import BreakLeadersNode, DrainLeadersNode
from ha_verify.faults.pods import DeleteLeader, DeleteReplica, DeleteWorker
from ha_verify.faults.processes import (
    KillWorker,
    PauseLeader,
    PauseReplica,
    PauseWorker,
    Roll,
    Scale,
    SignalLeader,
    SignalReplica,
)
from ha_verify.faults.releases import ChangeRelease
from ha_verify.targets import Timing

__all__ = [
    "FAULTS",
    "ApiServerOutage",
    "BreakLeadersNode",
    "ChangeRelease",
    "ColdStart",
    "CutOffLeader",
    "CutOffReplica",
    "Database",
    "DeleteLeader",
    "DeleteReplica",
    "DeleteRows",
    "DeleteWorker",
    "DrainLeadersNode",
    "ExhaustConnections",
    "FillDisk",
    "KillWorker",
    "Kind",
    "LoseAllData",
    "LoseMigratingPrimary",
    "LosePrimary",
    "LosePrimaryWithData",
    "LoseReplica",
    "LoseState",
    "PauseDatabase",
    "PauseLeader",
    "PauseReplica",
    "PauseWorker",
    "RestartLoadBalancer",
    "Roll",
    "Scale",
    "ShiftClock",
    "SignalLeader",
    "SignalReplica",
    "SwitchOver",
    "TerminateBackends",
]


@dataclass(frozen=True, slots=True)
class Kind:
    """How a random schedule makes a fault. `nth` chooses among several victims.

    It is healed after a time between nothing and `hold_seconds`, which depends on what the deployment waits for:
    some pauses are then noticed, and some are not.
    """

    make: Callable[[int], Fault]
    hold_seconds: Callable[[Timing], float] = lambda timing: 0.0


def _past_the_lease(timing: Timing) -> float:
    return 1.5 * timing.lease + 2 * timing.retry


def _past_the_claim(timing: Timing) -> float:
    return 1.5 * timing.claim_lease + 2 * timing.rescue


def _past_the_deadline(timing: Timing) -> float:
    return 2 * timing.database_deadline


FAULTS: Mapping[str, Kind] = {
    "kill-leader": Kind(lambda nth: SignalLeader("KILL")),
    "term-leader": Kind(lambda nth: SignalLeader("TERM")),
    "pause-leader": Kind(lambda nth: PauseLeader(), _past_the_lease),
    "kill-replica": Kind(lambda nth: SignalReplica("KILL", nth)),
    "term-replica": Kind(lambda nth: SignalReplica("TERM", nth)),
    "pause-replica": Kind(PauseReplica, _past_the_claim),
    "kill-worker": Kind(KillWorker),
    "pause-worker": Kind(PauseWorker, _past_the_claim),
    "restart-database": Kind(lambda nth: Database("restart")),
    "crash-database": Kind(lambda nth: Database("crash")),
    "pause-database": Kind(lambda nth: PauseDatabase(), _past_the_deadline),
    "terminate-backends": Kind(lambda nth: TerminateBackends()),
    "exhaust-connections": Kind(lambda nth: ExhaustConnections(), _past_the_deadline),
    "cut-leader-refused": Kind(lambda nth: CutOffLeader("refused"), _past_the_lease),
    "cut-leader-frozen": Kind(lambda nth: CutOffLeader("frozen"), _past_the_lease),
    "cut-replica-cut": Kind(lambda nth: CutOffReplica("cut", nth), _past_the_deadline),
    "cut-replica-frozen": Kind(lambda nth: CutOffReplica("frozen", nth), _past_the_deadline),
    "restart-load-balancer": Kind(lambda nth: RestartLoadBalancer()),
    "clock-ahead": Kind(lambda nth: ShiftClock(3600.0, nth), _past_the_lease),
    "clock-behind": Kind(lambda nth: ShiftClock(-600.0, nth), _past_the_lease),
    "roll": Kind(lambda nth: Roll()),
    "delete-leader": Kind(lambda nth: DeleteLeader()),
    "delete-replica": Kind(DeleteReplica),
    "drain-leaders-node": Kind(lambda nth: DrainLeadersNode()),
    "pause-leaders-node": Kind(lambda nth: BreakLeadersNode("pause"), _past_the_lease),
    "api-server-outage": Kind(lambda nth: ApiServerOutage("frozen"), _past_the_lease),
    "cut-leader-from-api": Kind(lambda nth: CutOffLeader("frozen", "api server"), _past_the_lease),
}


def hold_seconds(name: str, timing: Timing, rng: Random) -> float:
    """How long this fault is on in a random schedule."""
    return round(rng.uniform(0, FAULTS[name].hold_seconds(timing)), 1)
