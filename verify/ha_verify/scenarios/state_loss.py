import random

from ha_verify.faults import catalogue as faults
from ha_verify.scenarios.scenario import Experiment, Injection, Load, Options


class StateLoss:
    """What the leader keeps with the orchestrator about its phase is deleted, alone and together with the leader.

    It is an aid and never a second source of truth: it is made again, epochs go on, and nothing is done twice.
    """

    name = "state-loss"
    claims = ("one-leader", "fenced", "singletons-resume", "effects-once", "jobs-finish", "writes-kept")

    def plan(self, options: Options, rng: random.Random) -> list[Experiment]:
        losses = [Injection(faults.LoseState()), Injection(faults.LoseState(kill_leader=True))]
        return [Experiment(losses * options.trials, load=Load(reads=10, writes=4, refreshes=1))]
