"""Safetensors files in parts, joined into one in constant memory.

The format (https://github.com/huggingface/safetensors#format): eight bytes with the length of the header, a JSON header
with each tensor's type, shape and place, then the tensors' bytes. So the parts' bytes can follow each other unchanged.
"""

import json
import shutil
from pathlib import Path
from typing import Any

from trainer import files

_LENGTH_BYTES = 8
_CHUNK_BYTES = 1 << 20


def join(parts: list[Path], target: Path) -> None:
    """Write all tensors of the parts to one file. Raises OSError, for example when the disk is full."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end, begins = 0, []
    for part in parts:
        begin, tensors = _read(part)
        begins.append(begin)
        for name, told in tensors.items():
            places = [end + place for place in told["data_offsets"]]
            header[name] = {**told, "data_offsets": places}
        end += part.stat().st_size - begin
    text = json.dumps(header).encode()
    # Tensors begin at a multiple of eight bytes, so that they can be mapped into memory.
    text += b" " * (-len(text) % _LENGTH_BYTES)
    with files.replacing(target) as file:
        file.write(len(text).to_bytes(_LENGTH_BYTES, "little") + text)
        for part, begin in zip(parts, begins, strict=True):
            with part.open("rb") as source:
                source.seek(begin)
                shutil.copyfileobj(source, file, _CHUNK_BYTES)


def _read(part: Path) -> tuple[int, dict[str, Any]]:
    """Where the tensors' bytes begin, and what the header says of them."""
    with part.open("rb") as file:
        length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
        header = json.loads(file.read(length))
    header.pop("__metadata__", None)
    return _LENGTH_BYTES + length, header
