"""The lines of a history that show a violation, with what was recorded just before and after."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ha_verify.history import History, to_line
from ha_verify.verdict import Place

AROUND = 2
EXCERPTS_MAX = 200
_CHARACTERS_MAX = 600


@dataclass(frozen=True, slots=True)
class Line:
    number: int
    text: str
    is_evidence: bool


@dataclass(frozen=True, slots=True)
class Excerpt:
    id: str
    place: Place
    lines: tuple[Line, ...]


def excerpts(histories: Mapping[str, History], places: Iterable[Place]) -> dict[Place, Excerpt]:
    """One for each place that exists, at most `EXCERPTS_MAX`. Long lines are cut, and say so."""
    known: dict[Place, Excerpt] = {}
    for place in places:
        history = histories.get(place.history)
        if place in known or history is None or not 0 < place.line <= len(history) or len(known) >= EXCERPTS_MAX:
            continue
        first, last = max(1, place.line - AROUND), min(len(history), place.line + AROUND)
        lines = (
            Line(number, _cut(to_line(history[number - 1])), number == place.line) for number in range(first, last + 1)
        )
        known[place] = Excerpt(f"evidence-{len(known) + 1}", place, tuple(lines))
    return known


def _cut(line: str) -> str:
    line = line.rstrip("\n")
    more = len(line) - _CHARACTERS_MAX
    return line if more <= 0 else f"{line[:_CHARACTERS_MAX]} … ({more} more characters in the file)"
