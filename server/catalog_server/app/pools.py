"""The connections of a replica, by purpose, so that one kind of work cannot starve another."""

from concurrent.futures import ThreadPoolExecutor

from catalog_server.config import Settings
from catalog_server.db import Database

# A health probe must answer before a load balancer's own time-out.
HEALTH_DEADLINE_SECONDS = 1.0
WORKER_CONNECTIONS = 3  # one claims while another completes; the third runs effects


class Pools:
    """api: requests; worker: claims and effects; heartbeat, election: one connection each, so that a busy API
    costs neither a claim nor the lease; singletons: the leader's loops; health: probes and the replica's row; reads:
    catalog reads on the standby, if there is one."""

    def __init__(self, settings: Settings) -> None:
        dsn = settings.database_dsn.get_secret_value()
        deadline_seconds = settings.database_deadline_seconds

        def pool(purpose: str, size: int, seconds: float = deadline_seconds) -> Database:
            return Database(
                dsn,
                purpose=purpose,
                size=size,
                deadline_seconds=seconds,
                connect_timeout_seconds=min(settings.database_connect_timeout_seconds, seconds),
            )

        self.api = pool("api", settings.database_pool_size)
        self.worker = pool("worker", WORKER_CONNECTIONS)
        self.heartbeat = pool("heartbeat", 1)
        # Two calls, one after the other, must fit between two attempts to renew.
        self.election = pool("election", 1, min(deadline_seconds, settings.leadership_retry_seconds))
        self.singletons = pool("singletons", 1)
        self.health = pool("health", 1, HEALTH_DEADLINE_SECONDS)
        self.reads = _standby_pool(settings)

    def close(self) -> None:
        """Closes all pools side by side, so that a hanging database costs one deadline, not six."""
        pools = [self.api, self.worker, self.heartbeat, self.election, self.singletons, self.health]
        pools += [self.reads] if self.reads is not None else []
        with ThreadPoolExecutor(len(pools)) as threads:
            list(threads.map(Database.close, pools))


def _standby_pool(settings: Settings) -> Database | None:
    if settings.read_dsn is None:
        return None
    # A read that the standby did not answer has the primary's whole deadline yet. Half of one for the standby keeps
    # both together below what load balancers wait for.
    seconds = settings.database_deadline_seconds / 2
    return Database(
        settings.read_dsn.get_secret_value(),
        purpose="reads",
        size=settings.database_pool_size,
        deadline_seconds=seconds,
        connect_timeout_seconds=min(settings.database_connect_timeout_seconds, seconds),
        read_only=True,
    )
