"""How long a batch goes on while others wait to be answered along with it.

transformers' generate takes nobody in on the way, so a batch that others join ends and begins anew with them, and reads
what it has so far again. Reading takes seconds on a CPU: a turn lasts several times as long as its reading took.
"""

import time
from collections.abc import Callable

OthersWait = Callable[[], bool]
# Of the time of a batch that others keep joining, a third at most is spent on reading again.
_TURN_OVER_READING = 3


def never() -> bool:
    return False


class Turn:
    """One stretch of a batch: from now until others wait and it has lasted long enough."""

    def __init__(self, others_wait: OthersWait) -> None:
        self._others_wait = others_wait
        self._began = time.monotonic()
        self._reading: float | None = None

    def over(self) -> bool:
        """Asked after every step; the first of them ends the reading."""
        lasted = time.monotonic() - self._began
        if self._reading is None:
            self._reading = lasted
        return lasted >= _TURN_OVER_READING * self._reading and self._others_wait()
