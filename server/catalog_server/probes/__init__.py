"""Probes: writes that a verification makes through the whole service, and counts from outside.

A probe is a unique value. Accepting it stores the value and queues a job in one transaction; the job's effect
appends a row. So a lost write is a value that is missing, and an effect that happened twice is a second row.

Authority: the tables `probes` and `probe_effects`, and the job kind `probe`.

Guarantees:
* A value is accepted once; it is stored if and only if its job was queued.
* An effect is a row of its own: neither an index nor an upsert hides a second one.

Non-guarantee: probes are kept only as long as finished jobs.
"""

from catalog_server.probes.handler import ProbeHandler
from catalog_server.probes.store import MAX_VALUE_CHARACTERS, Effect, Probe, accept, get, purge

__all__ = ["MAX_VALUE_CHARACTERS", "Effect", "Probe", "ProbeHandler", "accept", "get", "purge"]
