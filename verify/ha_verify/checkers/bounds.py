"""What recovery is held against, derived from the configuration of the deployment that was verified.

| class of fault                  | requests may fail until               | why                                       |
|---------------------------------|---------------------------------------|-------------------------------------------|
| replica, leader: kill, term;    | they may not                          | the load balancer repeats a read elsewhere|
|   roll, scale, clock            |                                       |                                           |
| replica, leader: pause          | the load balancer has noticed         | a paused process accepts and says nothing |
| partition                       | the database's deadline has passed,   | the replica is not ready then, and its 503|
|                                 | and the load balancer noticed         | is repeated elsewhere                     |
| database, connections, disk     | the database is back, and a deadline  | what hung is given up, and connected anew |
| load balancer                   | it is back                            | there is only one                         |
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ha_verify.checkers.injected import Injected
from ha_verify.history import History
from ha_verify.targets import Timing

# Two failed checks, 0.5 s apart, each given up after 2 s: see the health check of the load balancer.
NOTICED_SECONDS = 5.0
RECONNECT_SECONDS = 2.0  # replicas ask a database that refuses them about once a second
READ_P99_SECONDS = 1.0  # of reads outside of the windows in which they may fail

Anchor = Literal["began", "effective", "healed"]


@dataclass(frozen=True, slots=True)
class Bound:
    """Requests may fail from the beginning of the fault until `seconds` after its anchor."""

    anchor: Anchor
    seconds: float

    def until(self, fault: Injected) -> float:
        """In seconds since the history began."""
        at = {"began": fault.began, "effective": fault.effective, "healed": fault.healed or fault.window_end}
        return at[self.anchor] + self.seconds


def timing_of(history: History) -> Timing:
    """The configuration of the run; the defaults for what it does not tell."""
    told = history.run.get("timing") or {}
    return Timing(**{name: value for name, value in told.items() if name in Timing.__dataclass_fields__})


def recovery(class_: str, timing: Timing) -> Bound:
    """Of the class; a class that is not known is held to be harmless to clients."""
    back = timing.database_deadline + RECONNECT_SECONDS
    table: Mapping[str, Bound] = {
        "leader-pause": Bound("began", NOTICED_SECONDS),
        "replica-pause": Bound("began", NOTICED_SECONDS),
        "partition": Bound("began", timing.database_deadline + NOTICED_SECONDS),
        "database-restart": Bound("effective", back),
        "database-crash": Bound("effective", back),
        "database-pause": Bound("healed", back),
        "connections": Bound("healed", back),
        "disk": Bound("healed", back),
        "load-balancer": Bound("effective", RECONNECT_SECONDS),
        "cold-start": Bound("effective", timing.start),
    }
    return table.get(class_, Bound("began", 0.0))


def succession(fault: Injected, timing: Timing) -> float:
    """Longest time in seconds from a fault that costs a leader its term to the next term."""
    if fault.class_ == "leader-term":  # it drains, hands over, and the others look once a retry period
        return timing.drain + 2 * timing.retry
    return timing.lease + timing.retry
