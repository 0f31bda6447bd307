import random

from ha_verify.faults import catalogue as faults
from ha_verify.scenarios.scenario import WATCH_SECONDS, Experiment, Injection, Options


class KillLeader:
    """The leader is killed, stopped in an orderly way, and paused, under load and jobs.

    SIGKILL ends it at once: nobody releases the lease, so another replica has to wait until it has run out.
    SIGTERM lets it drain and hand the lease over; where there is an orchestrator, so does its deletion. SIGSTOP is
    the hard one: the leader does not know that time passes, is succeeded, and wakes up (SIGCONT, after lease and
    retry period are over) in the belief that it still leads. Whatever it then tries to write must be refused.

    With `--trials N` each of these is done N times, in random order. Three replicas answer requests
    throughout; those that the victim had in its hands are the ones that may fail.
    """

    name = "kill-leader"
    claims = (
        "one-leader",
        "fenced",
        "failover",
        "loops-stop",
        "singletons-resume",
        "writes-kept",
        "effects-once",
        "jobs-finish",
        "available",
        "recovers",
    )

    def plan(self, options: Options, rng: random.Random) -> list[Experiment]:
        timing = options.timing
        past_the_lease = timing.lease + 2 * timing.retry + 2.0
        injections = []
        for _ in range(options.trials):
            injections += [
                Injection(faults.SignalLeader("KILL"), wait_max_seconds=2 * timing.retry),
                Injection(faults.SignalLeader("TERM"), wait_max_seconds=2 * timing.retry),
                Injection(faults.DeleteLeader(), wait_max_seconds=2 * timing.retry),
                Injection(faults.PauseLeader(), past_the_lease, 2 * timing.retry, watch_seconds=WATCH_SECONDS),
            ]
        rng.shuffle(injections)
        return [Experiment(injections)]
