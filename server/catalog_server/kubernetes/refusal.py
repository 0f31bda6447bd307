"""What callers of the API must be able to tell apart."""

import aiohttp


class KubernetesRefusal(Exception):
    """The Kubernetes API, or its configuration, does not let this replica do what it asked for."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status  # of the HTTP answer; 0 where there was none


class ObjectChanged(Exception):
    """The object changed, came or went since it was read: the write was not made."""


# What a call raises where the API could not be asked, did not answer in time, or refused.
UNAVAILABLE = (KubernetesRefusal, TimeoutError, aiohttp.ClientError)
