"""The wall clock of one replica jumps."""

import time
from typing import Any

from ha_verify.faults import seen, victims
from ha_verify.faults.fault import FaultFailed
from ha_verify.targets import Need, Target

START_SECONDS = 60.0
TOLERANCE_SECONDS = 5.0


class ShiftClock:
    """The wall clock that one replica sees is wrong by `seconds`; it is restarted for that.

    The proof: the Date of its answers is wrong by as much.
    """

    class_ = "clock"
    needs: tuple[Need, ...] = ("clock",)

    def __init__(self, seconds: float, nth: int = 0) -> None:
        if abs(seconds) <= 2 * TOLERANCE_SECONDS:
            raise ValueError(f"seconds = {seconds:g}: too little to be told from none. Use more than 10 either way")
        self.name = f"clock of a follower {seconds:+g} s"
        self._seconds = seconds
        self._choose = victims.follower(nth)
        self._shifted: str | None = None

    async def inject(self, target: Target) -> dict[str, Any]:
        name = await self._choose(target)
        self._shifted = name
        await target.shift_clock(name, self._seconds)
        offset = await self._offset(target, name, self._seconds)
        return {"replica": name, "offset_seconds": offset}

    async def heal(self, target: Target) -> dict[str, Any]:
        if self._shifted is None:
            return {}
        name, self._shifted = self._shifted, None
        await target.shift_clock(name, 0)
        return {"replica": name, "offset_seconds": await self._offset(target, name, 0)}

    async def _offset(self, target: Target, name: str, wanted: float) -> float:
        url = (await seen.replica(target, name)).url
        offsets: list[float] = []

        async def it_is_wanted() -> bool:
            clock = await seen.wall_clock(url)
            if clock is not None:
                offsets.append(clock - time.time())
            return bool(offsets) and abs(offsets[-1] - wanted) <= TOLERANCE_SECONDS

        try:
            await seen.until(f"a clock of {name} that is {wanted:+g} s off", START_SECONDS, it_is_wanted)
        except FaultFailed as error:
            raise FaultFailed(f"{error}; seen at last: {offsets[-1:]}") from None
        return round(offsets[-1], 1)
