"""The job `probe`."""

from catalog_server.db import Session
from catalog_server.jobs import Effect, Job
from catalog_server.probes import store


class ProbeHandler:
    """Handles jobs of kind `probe`; the payload is {"value": text}."""

    kind = store.KIND

    async def run(self, job: Job) -> Effect:
        """Has nothing to do outside of the database."""

        def effect(session: Session) -> None:
            store.append_effect(session, job)

        return effect
