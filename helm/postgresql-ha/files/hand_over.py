"""Before a member stops: if it is the primary, lets a replica that has everything take over, so that clients wait for
a moment and not for its lock to run out.

    hand_over.py SECONDS

Where nobody can take over in time it says so and lets the member stop: then Patroni ends PostgreSQL in order and gives
the lock back, and whoever has everything takes it.
"""

import os
import sys
import time
from http.client import HTTPException

from rest_api import RestApi


def hand_over(api, me, seconds, clock=time):
    """What came of it, in words."""
    give_up_at = clock.monotonic() + seconds
    answer = "nothing was tried"
    while True:
        try:
            members = api.get("/cluster")[1]["members"]
            if me not in [each["name"] for each in members if each["role"] == "leader"]:
                return f"{me} is not the primary, there is nothing to hand over"
            if len(members) == 1:
                return f"{me} is the only member, nobody can take over"
            remaining = max(1, give_up_at - clock.monotonic())
            status, answer = api.order("POST", "/switchover", {"leader": me}, timeout_seconds=remaining)
            if status == 200:
                return answer
        except (OSError, HTTPException, KeyError, TypeError, ValueError) as error:
            answer = repr(error)
        if clock.monotonic() >= give_up_at:
            return f"{me} is still the primary, since nobody took over in {seconds} s: {answer}"
        clock.sleep(1)  # a replica may be in step again by then


if __name__ == "__main__":
    print(hand_over(RestApi.of_this_member(), os.environ["PATRONI_NAME"], int(sys.argv[1])), flush=True)
