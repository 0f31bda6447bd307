"""A deployment on a kind cluster of this machine, made by the playbooks with the kind inventory.

Authority: everything that is a pod, a node, a Service or an iptables rule.

Guarantees:
* Only pods of the deployment's own release are signalled, deleted, evicted or cut off, and only nodes of the kind
  cluster are paused or lost. `heal` finds what is broken by looking, not by remembering: it also mends what a run
  left behind that was killed.
* PostgreSQL is asked through its NodePort, or through the node of each of its members: the loss of the API server, or
  of every replica, does not blind a run.

Non-guarantees:
* Replicas are reached one by one through the API server (`kubectl proxy`). While it is away, what each of them says
  is not seen; what they write into the database is.
* The load balancer is kube-proxy: it chooses a replica per connection, repeats nothing, and can not be restarted.
"""

from ha_verify.targets.kind.target import REPLICATED, STATE_DIR, KindTarget

__all__ = ["REPLICATED", "STATE_DIR", "KindTarget"]
