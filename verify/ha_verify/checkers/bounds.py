"""What recovery is held against, derived from the configuration of the deployment that was verified.

| class of fault                  | requests may fail until               | why                                       |
|---------------------------------|---------------------------------------|-------------------------------------------|
| replica, leader: delete; roll,  | they may not                          | who is ended in order is asked nothing    |
|   scale, drain                  |                                       | any more when it ends                     |
| clock, state, API server        | they may not                          | no request needs them                     |
| replica, leader: kill, term     | the load balancer has noticed; at once| a process ends of which the load balancer |
|                                 | where it repeats a read elsewhere     | was not told                              |
| replica, leader: pause          | the load balancer has noticed         | a paused process accepts and says nothing |
| node: pause, loss               | its loss was noticed                  | its replicas say nothing                  |
| partition                       | the database's deadline has passed,   | the replica is not ready then             |
|                                 | and the load balancer noticed         |                                           |
| database, connections, disk     | the database is back, a deadline, and | what hung is given up, and connected anew;|
|                                 | the load balancer noticed             | nobody was ready                          |
| database: failover, switchover  | another member takes writes, and the  | as above; what makes another one the      |
|                                 | same                                  | primary has a bound of its own            |
| database: isolation             | the isolation ends, and the same; at  | who is attached to a primary that is      |
|                                 | once where a person ended the primary | isolated stays there, and nobody is told  |
| database: node                  | its loss was noticed, and the same    | its replicas of the catalog say nothing   |
| database: replica               | reads may not, writes until another   | others confirm what is written, or are    |
|                                 | replica is named to confirm them      | named to; a person's setup names all      |
| load balancer                   | it is back                            | there is only one                         |

What the load balancer notices, and when, is the target's to know: see `Timing`.

A disaster has bounds of its own:

| method   | served again within           | acknowledged writes may be lost of    | why                            |
|----------|-------------------------------|---------------------------------------|--------------------------------|
| failover | what `failover.yml` gives     | no time                               | a replica has each             |
|          | itself, and to connect anew   |                                       |                                |
| archive  | the objective                 | the time between two confirmations    | WAL is received as it is       |
|          |                               | of the archive                        | written                        |
| moment   | the objective                 | no time before the moment             | the archive is completed first |
| dump     | the objective                 | the age of the dump                   | it has all that was before it  |

The objective is a requirement (H8), not derived: how long a restore takes depends on how much there is to restore.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ha_verify.checkers.injected import Injected
from ha_verify.history import History
from ha_verify.targets import Timing

RECONNECT_SECONDS = 2.0  # replicas ask a database that refuses them about once a second
RECOVERY_OBJECTIVE_SECONDS = 3600.0  # to serve again after a disaster
READ_P99_SECONDS = 1.0  # of reads outside of the windows in which they may fail

Anchor = Literal["struck", "effective", "writable", "healed"]


@dataclass(frozen=True, slots=True)
class Bound:
    """Requests may fail from the beginning of the fault until `seconds` after its anchor."""

    anchor: Anchor
    seconds: float

    def until(self, fault: Injected) -> float:
        """In seconds since the history began."""
        at: Mapping[Anchor, float] = {
            "struck": fault.struck,
            "effective": fault.effective,
            "writable": fault.writable,
            "healed": fault.healed or fault.window_end,
        }
        return at[self.anchor] + self.seconds


def timing_of(history: History) -> Timing:
    """The configuration of the run; the defaults for what it does not tell."""
    told = history.run.get("timing") or {}
    return Timing(**{name: value for name, value in told.items() if name in Timing.__dataclass_fields__})


def recovery(class_: str, timing: Timing) -> Bound:
    """Of the class; a class that is not known is held to be harmless to clients."""
    back = timing.database_deadline + RECONNECT_SECONDS + timing.readmitted
    killed = timing.end_noticed
    ended = timing.drain + timing.end_noticed if timing.end_noticed else 0.0
    table: Mapping[str, Bound] = {
        "leader-kill": Bound("struck", killed),
        "replica-kill": Bound("struck", killed),
        "leader-term": Bound("struck", ended),
        "replica-term": Bound("struck", ended),
        "leader-pause": Bound("struck", timing.silence_noticed),
        "replica-pause": Bound("struck", timing.silence_noticed),
        "node-pause": Bound("struck", timing.node_noticed),
        "node-loss": Bound("struck", timing.node_noticed),
        "partition": Bound("struck", timing.database_deadline + timing.silence_noticed),
        "database-restart": Bound("effective", back),
        "database-crash": Bound("effective", back),
        "database-pause": Bound("healed", back),
        "database-failover": Bound("writable", back),
        "database-and-leader": Bound("writable", back),
        "database-isolation": Bound("writable" if timing.database_failover is None else "healed", back),
        "database-and-migration": Bound("writable", back),
        "database-switchover": Bound("writable", back),
        "database-node": Bound("struck", max(timing.node_noticed, timing.database_failover or 0.0) + back),
        "database-replica": Bound("struck", 0.0),
        "connections": Bound("healed", back),
        "disk": Bound("healed", back),
        "load-balancer": Bound("effective", RECONNECT_SECONDS),
        "cold-start": Bound("effective", timing.start),
    }
    return table.get(class_, Bound("struck", 0.0))


def succession(fault: Injected, timing: Timing) -> float:
    """Longest time in seconds from a fault that costs a leader its term to the next term."""
    if fault.class_ == "leader-term":  # it drains, hands over, and the others look once a retry period
        return timing.drain + 2 * timing.retry
    if fault.class_ == "leader-delete":
        return timing.before_stop + timing.drain + 2 * timing.retry
    if fault.class_ == "database-and-leader":  # nobody can be elected before there is a database again
        without_seconds = math.ceil(10 * (fault.writable - fault.struck)) / 10
        return without_seconds + timing.database_deadline + RECONNECT_SECONDS + timing.lease + timing.retry
    return timing.lease + timing.retry


def recovery_time(disaster: Injected, timing: Timing) -> float:
    """Longest time in seconds from a disaster to the first write that is kept, for its method."""
    if disaster.proof["method"] == "failover":
        return timing.database_replaced + timing.database_deadline + RECONNECT_SECONDS
    return RECOVERY_OBJECTIVE_SECONDS


def recovery_point(method: str, timing: Timing, *, dump_age: float) -> float:
    """Of how many seconds before a disaster acknowledged writes may be lost; `dump_age` in seconds, where it is one."""
    return {"archive": timing.archive_confirmed, "dump": dump_age}.get(method, 0.0)
