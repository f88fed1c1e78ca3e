"""How long a run may still go on. The cap holds for the whole attempt, also across relaunches of the same attempt."""

import json
import time
from pathlib import Path

from trainer import files
from trainer.config import JobConfig


class Budget:
    """Counts seconds from `started` (time.monotonic()) on top of what earlier launches of this attempt used."""

    def __init__(self, config: JobConfig, clock_file: Path, started: float) -> None:
        self._limits = config.limits
        self._attempt = config.attempt
        self._file = clock_file
        self._started = started
        self._earlier = self._read()
        self._written = started

    @property
    def seconds(self) -> float:
        """Used so far by this attempt."""
        return self._earlier + time.monotonic() - self._started

    @property
    def cost(self) -> float:
        """Spent so far by this attempt, in the price's currency."""
        return self.seconds * self._limits.price_per_second

    def exhausted(self, reserve: float) -> str | None:
        """Which cap another `reserve` seconds would break: "max_seconds", "max_cost" or None."""
        seconds = self.seconds + reserve
        if self._limits.max_seconds is not None and seconds > self._limits.max_seconds:
            return "max_seconds"
        if self._limits.max_cost is not None and seconds * self._limits.price_per_second > self._limits.max_cost:
            return "max_cost"
        return None

    def save(self, every: float = 0) -> None:
        """Note the time used, unless that happened less than `every` seconds ago."""
        if time.monotonic() - self._written >= every:
            files.write_json(self._file, {"attempt": self._attempt, "seconds": round(self.seconds, 1)})
            self._written = time.monotonic()

    def _read(self) -> float:
        try:
            content = json.loads(self._file.read_text(encoding="utf-8"))
            return float(content["seconds"]) if content["attempt"] == self._attempt else 0.0
        except (OSError, ValueError, KeyError, TypeError):
            return 0.0
