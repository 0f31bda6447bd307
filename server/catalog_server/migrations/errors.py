"""Why a migration was refused or failed, each with what to do about it."""


class MigrationError(Exception):
    """A refusal or failure that a person can mend: `problem` says what is wrong, `remedy` what to do."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem}. {remedy}")
        self.problem = problem
        self.remedy = remedy


class ChangedVersion(MigrationError):
    """An applied version is not the one this server knows under that number."""


class IncompatibleSchema(MigrationError):
    """The database is at a newer version that this server can not run on."""


class HistoryGap(MigrationError):
    """A later version is applied while an earlier one is not."""


class VersionsPending(MigrationError):
    """Versions that this server needs are not applied, and it may not apply them, or not wait longer."""


class NotWritable(MigrationError):
    """The database, or the schema in it, can not be changed through this address."""


class PooledConnection(MigrationError):
    """The address leads through a transaction pooler, where a session lock protects nothing."""


class LockUnavailable(MigrationError):
    """Another held the migration lock for longer than this one may wait."""


class LockLost(MigrationError):
    """The session that works is not, or no longer, the one that holds the migration lock."""


class VersionFailed(MigrationError):
    """A version could not be applied or taken back; the message names it."""


class DowngradeRefused(MigrationError):
    """The schema that the downgrade would leave is not one that every running replica can use."""


class MigrationStopped(MigrationError):
    """The runner was told to stop before it was done."""
