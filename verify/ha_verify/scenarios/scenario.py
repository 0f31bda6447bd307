"""What a scenario is: data about load and faults. Nothing here does anything."""

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ha_verify.faults import Fault
from ha_verify.targets import Need, Timing

WATCH_SECONDS = 6.0  # a leader that woke would have done several rounds by then


@dataclass(frozen=True, slots=True)
class Load:
    """Arrivals per second, offered whatever becomes of them."""

    reads: float = 20.0
    writes: float = 4.0
    refreshes: float = 0.5
    kept_alive: bool = False  # connections are used again, as most clients do; by default each request has its own


# A hundred requests a second, where not one of them may fail: by clients that connect anew, which a load balancer
# may send anywhere, and by clients that stay with whom they have until they are told to go.
BUSY = (Load(reads=80, writes=20), Load(reads=80, writes=20, kept_alive=True))
# How long no write was acknowledged is measured by the writes themselves, so to a tenth of a second.
MANY_WRITES = Load(writes=10)


@dataclass(frozen=True, slots=True)
class Injection:
    """One fault: injected at a random time up to `wait_max_seconds` from when its turn comes, healed
    `hold_seconds` after it took effect."""

    fault: Fault
    hold_seconds: float = 0.0
    wait_max_seconds: float = 3.0
    watch_seconds: float = 0.0  # after the recovery, for what the victim may still do


@dataclass(frozen=True, slots=True)
class Experiment:
    """One run, told by one history."""

    injections: Sequence[Injection]
    load: Load = field(default_factory=Load)
    replicas: int = 3
    warm_up_seconds: float = 4.0  # load before the first fault
    cool_down_seconds: float = 2.0  # load after the last recovery
    faults_seconds: float | None = None  # no fault is injected after this time; None: all are
    load_after_faults: bool = False  # for faults that begin with an outage, or with an empty database
    watch_locks: bool = False
    # The database goes back to an earlier state: promises of safety, which are of one that goes on, are not claimed.
    rewinds: bool = False


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asks for. `trials` is how often each of the scenario's faults is injected."""

    timing: Timing
    trials: int = 1
    short: bool = False
    soak_seconds: float = 1800.0
    lacks: Collection[Need] = ()  # of the target: a fault that needs it is planned by nobody, see `session.plan`

    @property
    def orderly(self) -> Sequence[Load]:
        """What is offered while replicas end in good order.

        An orchestrator's balancer binds a connection to a replica and repeats nothing, so both kinds of clients are
        tried, at a rate that finds a gap of a hundredth of a second. A proxy that speaks HTTP chooses, and repeats,
        for each request: there the usual load says the same in less time.
        """
        return (Load(),) if "orchestrator" in self.lacks else BUSY


class Scenario(Protocol):
    """A kind of run. Its docstring is its page in the documentation: the first line says what is done."""

    @property
    def name(self) -> str: ...

    @property
    def claims(self) -> tuple[str, ...]:
        """Keys of `claims.CLAIMS` that the run must try; none may stay untried."""

    def plan(self, options: Options, rng: random.Random) -> list[Experiment]:
        """The same options and the same seed give the same plan."""
