import random

from ha_verify.faults import catalogue as faults
from ha_verify.scenarios.scenario import Experiment, Injection, Options
from ha_verify.targets.target import Cut

_API_CUTS: tuple[Cut, ...] = ("refused", "deaf")


class Partition:
    """One replica is cut off from the database, and so from its lease, while the others are not.

    Connections are cut and refused, or frozen: they stay open, and nothing comes through; where packets can be
    filtered, also in one direction only. It is the leader that is cut off, and another replica at random. The leader
    must stop its loops before its lease has run out for the others, a replica that is cut off must say that it is not
    ready, and the others serve on.

    Where the lease is not in the database the leader is also cut off from the lease alone. It can write all it wants
    to then, and must not: its loops stop before others may lead.
    """

    name = "partition"
    claims = (
        "one-leader",
        "fenced",
        "failover",
        "loops-stop",
        "singletons-resume",
        "readiness-tells",
        "recovers",
        "writes-kept",
        "effects-once",
        "available",
    )

    def plan(self, options: Options, rng: random.Random) -> list[Experiment]:
        timing = options.timing
        # Rounds of loops that go on where they should have stopped each hang for their deadline: a few must be seen.
        rounds_seconds = 3 * (timing.database_deadline + timing.schedule)
        given_up_seconds = timing.renew_deadline + timing.database_deadline + 3.0
        past_the_lease = max(timing.lease + timing.retry + 3.0, given_up_seconds + rounds_seconds)
        injections = []
        for _ in range(options.trials):
            injections.append(Injection(faults.CutOffLeader("frozen"), hold_seconds=past_the_lease))
            injections.append(Injection(faults.CutOffLeader("frozen", "api server"), hold_seconds=past_the_lease))
            if not options.short:
                for how in _API_CUTS:
                    cut = faults.CutOffLeader(how, "api server")
                    injections.append(Injection(cut, hold_seconds=past_the_lease))
                injections.append(Injection(faults.CutOffReplica("deaf"), hold_seconds=past_the_lease))
                injections.append(Injection(faults.CutOffLeader("refused"), hold_seconds=past_the_lease))
                injections.append(Injection(faults.CutOffReplica("cut"), hold_seconds=3.0))
        rng.shuffle(injections)
        return [Experiment(injections)]
