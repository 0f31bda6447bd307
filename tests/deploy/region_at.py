"""A region whose database is the test's."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg2
import psycopg2.extras

from catalog_server.db.deadline import deadline
from deploy.deployment import load_module_utils

Region: Any = load_module_utils("regions").Region


class RegionAt(Region):  # type: ignore[misc]
    """As the real one, but for where its database is."""

    def __init__(self, state_dir: Path, dsn: str) -> None:
        super().__init__(state_dir)
        self._dsn = dsn

    @contextmanager
    def session(self) -> Iterator[Any]:
        """A cursor; each statement commits by itself."""
        with deadline(10), closing(psycopg2.connect(self._dsn)) as connection:
            connection.autocommit = True
            with connection.cursor(cursor_factory=psycopg2.extras.RealDictCursor) as cursor:
                yield cursor
