import random

from ha_verify.faults import schedule
from ha_verify.scenarios.scenario import Experiment, Injection, Options

_SHORT_SECONDS = 60.0


class Soak:
    """A random mix of all faults for a given time (`--seconds`), under steady load.

    The schedule is drawn from the seed: which faults, in which order, upon whom, and how long each is on. Each is
    recovered from before the next one; none comes after the time is up. The same seed gives the same schedule, which
    is longer than the time: a slower machine gets less far in it.
    """

    name = "soak"
    claims = ("writes-kept", "effects-once", "jobs-finish", "claims-exclusive", "one-leader", "fenced", "recovers")

    def plan(self, options: Options, rng: random.Random) -> list[Experiment]:
        seconds = _SHORT_SECONDS if options.short else options.soak_seconds
        planned = schedule.draw(rng, seconds, options.timing, schedule.possible(options.lacks))
        injections = [Injection(each.make(), hold_seconds=each.hold_seconds) for each in planned]
        return [Experiment(injections, faults_seconds=seconds)]
