"""How vocabularies write the tokens that are parts of characters."""

import re

# SentencePiece's.
_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")


def _alphabet() -> dict[str, int]:
    """GPT-2's: each byte as a printable character, itself where it is one."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + place): byte for place, byte in enumerate(others)}


_BYTES = _alphabet()


def bytes_of(entry: str) -> bytes | None:
    """The bytes that an entry of a byte-level vocabulary stands for; None where it is none."""
    if found := _BYTE.fullmatch(entry):
        return bytes([int(found[1], 16)])
    return bytes(_BYTES[character] for character in entry) if all(map(_BYTES.__contains__, entry)) else None
