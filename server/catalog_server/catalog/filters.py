"""Which models of a source are wanted, by patterns of their names."""

from collections.abc import Callable, Iterable


def name_filter(included: Iterable[str], excluded: Iterable[str]) -> Callable[[str], bool]:
    """True for names that match an included pattern (any name, if there is none) and no excluded one.

    Only `*` is special (any characters, slashes too); a pattern matches the whole name, in any letter case.
    """
    wanted = [pattern.casefold().split("*") for pattern in included]
    unwanted = [pattern.casefold().split("*") for pattern in excluded]

    def is_wanted(name: str) -> bool:
        folded = name.casefold()
        if any(_matches(parts, folded) for parts in unwanted):
            return False
        return not wanted or any(_matches(parts, folded) for parts in wanted)

    return is_wanted


def _matches(parts: list[str], name: str) -> bool:
    """The parts between the stars occur in order, the first at the start and the last at the end.

    Taking each part's earliest place is enough, so the time is linear where a regular expression's is not.
    """
    if len(parts) == 1:
        return name == parts[0]
    first, *middle, last = parts
    start, end = len(first), len(name) - len(last)
    if start > end or not name.startswith(first) or not name.endswith(last):
        return False
    for part in middle:
        found = name.find(part, start, end)
        if found < 0:
            return False
        start = found + len(part)
    return True
