import random

from ha_verify.faults import catalogue as faults
from ha_verify.scenarios.scenario import Experiment, Injection, Load, Options


class RandomKills:
    """Replicas are killed at random while sources are refreshed.

    Every kill (SIGKILL; where there is an orchestrator, also a deletion without grace) hits a replica that holds the
    claim of a job at that moment, if there is one. Its jobs lie
    there until their claims have run out; then they are rescued and done again. Since a job's effect is committed
    together with its end, the attempt that was killed must have left nothing, and the effect must be there once.
    """

    name = "random-kills"
    claims = ("effects-once", "jobs-finish", "claims-exclusive", "dedupe", "writes-kept", "recovers", "starts-up")

    def plan(self, options: Options, rng: random.Random) -> list[Experiment]:
        kills = options.trials * (1 if options.short else 3)
        injections = [Injection(faults.KillWorker()) for _ in range(kills)]
        injections += [Injection(faults.DeleteWorker()) for _ in range(kills)]
        rng.shuffle(injections)
        return [Experiment(injections, load=Load(reads=10, writes=8, refreshes=2))]
