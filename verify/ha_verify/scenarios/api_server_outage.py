import random

from ha_verify.faults import catalogue as faults
from ha_verify.scenarios.scenario import Experiment, Injection, Load, Options


class ApiServerOutage:
    """The orchestrator's API is away for longer than the lease: frozen, then refused.

    Nobody can renew a lease, so the leader must stop its loops before its own has run out, and nobody leads until
    the API is back. Clients must not notice: no read and no write needs it. What each replica says is not seen
    meanwhile, since replicas are reached through that API; what they write into the database is.
    """

    name = "api-server-outage"
    claims = (
        "available",
        "loops-stop",
        "singletons-resume",
        "one-leader",
        "fenced",
        "writes-kept",
        "effects-once",
        "jobs-finish",
    )

    def plan(self, options: Options, rng: random.Random) -> list[Experiment]:
        # Sources are changed through the API as well: no refreshes.
        load = Load(reads=20, writes=4, refreshes=0)
        past_the_lease = options.timing.lease + 3 * options.timing.retry + 3.0
        injections = []
        for _ in range(options.trials):
            injections.append(Injection(faults.ApiServerOutage("frozen"), past_the_lease))
            if not options.short:
                injections.append(Injection(faults.ApiServerOutage("refused"), past_the_lease))
        return [Experiment(injections, load=load)]
