import random

from ha_verify.faults import catalogue as faults
from ha_verify.scenarios.scenario import WATCH_SECONDS, Experiment, Injection, Options

NOTICED_SECONDS = 25.0  # a load balancer that was told late serves for so long without failures


class NodeLoss:
    """The node of the leader is lost, or everything on it stops for a while and goes on.

    The leader that was lost is succeeded when its lease has run out; so is the one that stopped, which must write
    nothing more when it goes on. Clients that meet a replica there wait in vain until the node's silence is noticed:
    that takes as long as the orchestrator gives a node, whatever the replicas do.
    """

    name = "node-loss"
    claims = (
        "failover",
        "one-leader",
        "fenced",
        "singletons-resume",
        "recovers",
        "writes-kept",
        "effects-once",
        "jobs-finish",
        "available",
    )

    def plan(self, options: Options, rng: random.Random) -> list[Experiment]:
        timing = options.timing
        past_the_lease = timing.lease + 2 * timing.retry + 2.0
        injections = []
        for _ in range(options.trials):
            lost = Injection(faults.BreakLeadersNode("lose"), timing.node_noticed + NOTICED_SECONDS)
            injections.append(lost)
            if not options.short:
                injections.append(
                    Injection(faults.BreakLeadersNode("pause"), past_the_lease, watch_seconds=WATCH_SECONDS)
                )
        return [Experiment(injections)]
