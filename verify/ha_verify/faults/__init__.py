"""What is broken on purpose. Every fault proves that it took effect, and knows how it is healed.

Authority: the list of faults, their classes (which bound their recovery is held against), and random schedules.

Guarantee: the same seed gives the same schedule.
"""

from ha_verify.faults.fault import Fault, FaultFailed, needs_of

__all__ = ["Fault", "FaultFailed", "needs_of"]
