"""Every scenario, by name."""

from collections.abc import Sequence

from ha_verify.scenarios.api_server_outage import ApiServerOutage
from ha_verify.scenarios.clock_jump import ClockJump
from ha_verify.scenarios.cold_start import ColdStart
from ha_verify.scenarios.database_failover import DatabaseFailover
from ha_verify.scenarios.database_outage import DatabaseOutage
from ha_verify.scenarios.disaster import DisasterArchive, DisasterDump, DisasterFailover, DisasterMoment
from ha_verify.scenarios.disk_full import DiskFull
from ha_verify.scenarios.drain import Drain
from ha_verify.scenarios.failover_during_migration import FailoverDuringMigration
from ha_verify.scenarios.failover_while_leader_changes import FailoverWhileLeaderChanges
from ha_verify.scenarios.kill_leader import KillLeader
from ha_verify.scenarios.node_loss import NodeLoss
from ha_verify.scenarios.partition import Partition
from ha_verify.scenarios.paused_zombies import PausedZombies
from ha_verify.scenarios.random_kills import RandomKills
from ha_verify.scenarios.replica_loss import ReplicaLoss
from ha_verify.scenarios.rolling_restart import RollingRestart
from ha_verify.scenarios.scale_out import ScaleOut
from ha_verify.scenarios.scenario import Scenario
from ha_verify.scenarios.soak import Soak
from ha_verify.scenarios.split_brain import SplitBrain
from ha_verify.scenarios.state_loss import StateLoss
from ha_verify.scenarios.switchover_under_load import SwitchoverUnderLoad
from ha_verify.scenarios.upgrade import Upgrade

_ACCEPTANCE: tuple[Scenario, ...] = (
    ScaleOut(),
    KillLeader(),
    RandomKills(),
    PausedZombies(),
    Partition(),
    DatabaseOutage(),
    RollingRestart(),
    Upgrade(),
    Drain(),
    ApiServerOutage(),
    NodeLoss(),
    StateLoss(),
    ColdStart(),
    ClockJump(),
)
# Only by name: they take half an hour, or root.
_BY_NAME: tuple[Scenario, ...] = (Soak(), DiskFull())
_OF_MEMBERS: tuple[Scenario, ...] = (
    SwitchoverUnderLoad(),
    DatabaseFailover(),
    SplitBrain(),
    ReplicaLoss(),
    FailoverWhileLeaderChanges(),
    FailoverDuringMigration(),
)
_OF_DISASTERS: tuple[Scenario, ...] = (
    DisasterFailover(),
    DisasterArchive(),
    DisasterMoment(),
    DisasterDump(),  # the last: it begins another database, with backups of its own
)
SCENARIOS = {scenario.name: scenario for scenario in (*_ACCEPTANCE, *_BY_NAME, *_OF_MEMBERS, *_OF_DISASTERS)}

ALL = "all"
# What `all` means: every claim about a deployment whose database is one server, in minutes.
ACCEPTANCE = tuple(scenario.name for scenario in _ACCEPTANCE)
BY_NAME = tuple(scenario.name for scenario in _BY_NAME)
OF_MEMBERS = tuple(scenario.name for scenario in _OF_MEMBERS)  # those of a database with several members
OF_DISASTERS = tuple(scenario.name for scenario in _OF_DISASTERS)  # those of one that has backups as well
DRILL = "dr-drill"
GROUPS = {ALL: ACCEPTANCE, DRILL: OF_DISASTERS}


class UnknownScenario(Exception):
    """No scenario has this name; the message lists those there are."""


def chosen(names: Sequence[str]) -> list[Scenario]:
    """The scenarios of these names, or of these groups of them, each once. Raises `UnknownScenario`."""
    wanted: dict[str, Scenario] = {}
    for name in names:
        if name not in GROUPS and name not in SCENARIOS:
            raise UnknownScenario(f"there is no scenario {name!r}; choose from: {', '.join([*GROUPS, *SCENARIOS])}")
        for each in GROUPS.get(name, (name,)):
            wanted[each] = SCENARIOS[each]
    return list(wanted.values())
