"""One JSON object per line on standard output: CloudWatch Logs keeps it as it is, people and programs can read it."""

import json
import logging
import os
import sys
import warnings
from collections import deque
from datetime import UTC, datetime
from typing import Any

_LEVELS = {"DEBUG": "info", "INFO": "info", "WARNING": "warning", "ERROR": "error", "CRITICAL": "error"}


# What a failure shows as evidence.
_RECENT_LINES, _MAX_CHARACTERS = 7, 300
_recent: deque[str] = deque(maxlen=_RECENT_LINES)


def recent() -> list[str]:
    """The last lines of this process, as `level: message`."""
    return list(_recent)


def now() -> str:
    """The time in ISO 8601, UTC, milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def plain(text: str) -> str:
    """Text that UTF-8 can hold: half of a surrogate pair becomes its escape."""
    return text.encode("utf-8", "backslashreplace").decode()


def info(message: str, **fields: Any) -> None:
    _write("info", message, fields)


def warning(message: str, **fields: Any) -> None:
    _write("warning", message, fields)


def error(message: str, **fields: Any) -> None:
    _write("error", message, fields)


def capture_libraries() -> None:
    """Send what libraries log or warn about through here too. Their notes to developers are left out."""
    warnings.simplefilter("ignore", FutureWarning)
    warnings.simplefilter("ignore", DeprecationWarning)
    logging.captureWarnings(True)
    logging.basicConfig(handlers=[_Lines()], level=logging.WARNING, force=True)


def capture_transformers() -> None:
    """The same for transformers, which brings a handler and progress bars of its own; imports it."""
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_default_handler()
    transformers_logging.enable_propagation()
    transformers_logging.disable_progress_bar()
    # Warns whenever checkpoints follow each other within a clock tick; it orders them by step then, as it should.
    logging.getLogger("transformers.trainer_utils").setLevel(logging.ERROR)


class _Lines(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        _write(_LEVELS.get(record.levelname, "info"), record.getMessage().strip(), {"logger": record.name})


def _write(level: str, message: str, fields: dict[str, Any]) -> None:
    if level == "info" and os.environ.get("RANK", "0") != "0":
        # One of several processes speaks for all of them.
        return
    _recent.append(plain(f"{level}: {message}"[:_MAX_CHARACTERS]))
    line = {"timestamp": now(), "level": level, "message": message, **fields}
    sys.stdout.write(plain(json.dumps(line, ensure_ascii=False, default=str)) + "\n")
    sys.stdout.flush()
