"""How many users there are when."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

SPAWN_PER_SECOND = 20.0


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of a run: its share of the time, and its users."""

    share: float
    users: int


SHAPES: Mapping[str, Sequence[Stage]] = {
    "steady": (Stage(1.0, 25),),
    "ramp": tuple(Stage(0.2, users) for users in (5, 15, 25, 35, 45)),
    "spike": (Stage(0.4, 10), Stage(0.2, 60), Stage(0.4, 10)),
    "soak": (Stage(1.0, 15),),
}
SECONDS: Mapping[str, float] = {"steady": 60.0, "ramp": 100.0, "spike": 60.0, "soak": 600.0}


def users_at(shape: str, seconds: float, total_seconds: float) -> int | None:
    """Of a run of that length at that time; None after its end."""
    end = 0.0
    for stage in SHAPES[shape]:
        end += stage.share * total_seconds
        if seconds < end:
            return stage.users
    return None
