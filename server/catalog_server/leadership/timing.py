"""The durations of an election, and why they must stand in this order."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Timing:
    """All in seconds.

    `lease_seconds`: others wait so long, after the last change they saw, before they take the lease.
    `renew_deadline_seconds`: a leader that could not renew for so long gives up. Being shorter than the lease,
    it leaves the loops time to end before anybody can take over.
    `retry_seconds`: the pause between attempts, shortened by up to a fifth at random. At least one attempt
    must fit into the renew deadline.

    Raises `ValueError` for an order in which two replicas could lead.
    """

    lease_seconds: float = 15.0
    renew_deadline_seconds: float = 10.0
    retry_seconds: float = 2.0
    jitter: float = 0.2

    def __post_init__(self) -> None:
        if self.lease_seconds <= self.renew_deadline_seconds:
            raise ValueError("lease_seconds must be longer than renew_deadline_seconds")
        if self.retry_seconds <= 0:
            raise ValueError("retry_seconds must be longer than 0")
        if self.renew_deadline_seconds <= self.retry_seconds * (1 + self.jitter):
            raise ValueError("renew_deadline_seconds must be longer than 1.2 x retry_seconds")

    @property
    def margin_seconds(self) -> float:
        """Kept between the end of trust and the earliest take-over, for clocks that run at different rates.

        At most half of what lies between renew deadline and lease: the other half is for the loops to end in.
        """
        return min(1.0, 0.1 * self.lease_seconds, (self.lease_seconds - self.renew_deadline_seconds) / 2)

    @property
    def call_seconds(self) -> float:
        """Bound of one call to the lease or the database: two of them fit into a retry period."""
        return max(self.retry_seconds / 2, 0.1)
