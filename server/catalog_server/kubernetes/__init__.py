"""The Kubernetes API: how this server reaches it, and the state it leaves there for people and other tools.

Authority: only this package knows the API's client, its credentials and its rules for writing. The lease is
`leadership.kubernetes_lease`, which is built on it.

Guarantees:
* An object is changed by compare-and-swap only: of all that read one version, one writes the next, and nobody
  brings back an object that was deleted meanwhile.
* Every call ends at its time-out, and a refusal says what to do about it: which verbs to grant on what.
* What others put into an object stays.

Non-guarantees:
* The outcome of a write whose answer was lost is unknown; read again.
* The recorded state is an aid. Nothing is decided by it that the database does not decide; it may be deleted, edited
  or out of date.

`client` and what is built on it import the API's library, which is large: import them where they are needed.
"""

from catalog_server.kubernetes.refusal import UNAVAILABLE, KubernetesRefusal, ObjectChanged
from catalog_server.kubernetes.state import Phase, Recorded, State, StateStore

__all__ = ["UNAVAILABLE", "KubernetesRefusal", "ObjectChanged", "Phase", "Recorded", "State", "StateStore"]
