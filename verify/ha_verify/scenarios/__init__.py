"""What is done to a deployment, from beginning to end, to try the claims.

Authority: which faults a scenario injects under which load, and which claims its run must try.

Guarantees:
* Every fault is preceded by a random wait, so that it does not always meet the same moment of the leader's and the
  workers' cycles; the same seed gives the same waits and the same choice of faults.
* A fault is injected only when the one before has been recovered from, or the wait for that was given up and is
  on record.
* Whatever happens, also an interruption, everything is healed before the final reads.

Non-guarantee: the same seed does not give the same history. What requests meet is up to the machine.
"""

from ha_verify.scenarios.catalogue import (
    ACCEPTANCE,
    BY_NAME,
    DRILL,
    OF_DISASTERS,
    OF_MEMBERS,
    SCENARIOS,
    UnknownScenario,
    chosen,
)
from ha_verify.scenarios.scenario import Experiment, Injection, Load, Options, Scenario

__all__ = [
    "ACCEPTANCE",
    "BY_NAME",
    "DRILL",
    "OF_DISASTERS",
    "OF_MEMBERS",
    "SCENARIOS",
    "Experiment",
    "Injection",
    "Load",
    "Options",
    "Scenario",
    "UnknownScenario",
    "chosen",
]
