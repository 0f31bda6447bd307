"""What a kind of job does."""

from collections.abc import Callable
from typing import Protocol

from catalog_server.db import Session
from catalog_server.jobs.job import Job

Effect = Callable[[Session], None]


class Handler(Protocol):
    """The work of one kind of job, in two steps, so that its effect happens exactly once."""

    @property
    def kind(self) -> str:
        """The kind of job it handles."""

    async def run(self, job: Job) -> Effect | None:
        """Everything outside of the database: read, fetch, compute. It may be repeated after a crash.

        Returns what is to be written, which is committed together with the job's completion; None if nothing
        is. It is called again where the database did not answer, so it must not depend on an earlier call.
        Raising, here or in the effect, fails the attempt.
        """
