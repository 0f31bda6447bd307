"""What callers of the database must be able to tell apart."""

import peewee


class DatabaseUnavailable(Exception):
    """The database could not be reached or went away; the outcome of a write in flight is unknown."""


class DeadlineExceeded(DatabaseUnavailable):
    """The call did not end within its client-side deadline; its connection was closed."""


# What Peewee raises when the connection, rather than the statement, is at fault.
CONNECTION_ERRORS = (peewee.OperationalError, peewee.InterfaceError)
