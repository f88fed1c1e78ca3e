"""Ids that sort by the time they were made: `<prefix>_<ulid>` (https://github.com/ulid/spec, lower case)."""

import hashlib
import secrets
import threading
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_lock = threading.Lock()
_last = 0


def new_id(prefix: str, separator: str = "_") -> str:
    """A new id, greater than every earlier one of this process: 48 bits of milliseconds, 80 random bits."""
    return f"{prefix}{separator}{_ulid()}"


def beside(made: str, what: str) -> str:
    """The ULID of something that is made with the thing of an id: the same whenever it is asked for."""
    ulid = made.rpartition("_")[2]
    number = int.from_bytes(hashlib.blake2b(f"{made} {what}".encode(), digest_size=10).digest(), "big")
    return ulid[:10] + _written(number, 16)


def _ulid() -> str:
    global _last
    with _lock:
        # Two ids of one millisecond keep their order: the later one is the earlier plus a random step.
        candidate = (time.time_ns() // 1_000_000) << 80 | secrets.randbits(80)
        if candidate >> 80 <= _last >> 80:
            candidate = _last + 1 + secrets.randbits(32)
        _last = candidate
    return _written(candidate, 26)


def _written(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        digits.append(_ALPHABET[number & 31])
        number >>= 5
    return "".join(reversed(digits))
