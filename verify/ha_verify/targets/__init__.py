"""Where the verified deployment runs, and how it is reached and broken there.

Authority: everything that names a process, a port, a pod or a file. Scenarios and faults speak of replicas and of
the leader only, so they run unchanged on every target.

Guarantees: a target touches only what its own deployment made, and `heal` undoes every fault that is still on.
"""

from ha_verify.targets.drill import Drill, Rows
from ha_verify.targets.members import Member, Members
from ha_verify.targets.target import Need, NotPossible, Orchestrator, Replica, Target, Timing

__all__ = ["Drill", "Member", "Members", "Need", "NotPossible", "Orchestrator", "Replica", "Rows", "Target", "Timing"]
