"""A finished model in one format, as files or as one archive: `python -m trainer.package --root R --format onnx`.

A SageMaker job of the training image: input/data/model/ holds the finished model, input/data/base/ its base snapshot
(not needed for full weights). model/ gets the format's files, or one archive of them, and package.json, written last.
What the model folder holds already is taken where its checksums hold; all else is exported and proven (`exports/`).
Exit codes and output/failure are those of trainer.train.
"""

import argparse
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainer import archives, device, failures, files, log
from trainer.failures import Failure
from trainer.folders import Folders
from trainer.interruption import Interruption

REPORT = "package.json"
GGUF = "gguf"
# Every file of a format, and the kind of export that has it.
FORMATS = {
    "adapter": dict.fromkeys(archives.ADAPTER_FILES, "adapter"),
    "pytorch": dict.fromkeys(("pytorch_model.bin", "config.json", "tokenizer.json"), "pytorch"),
    "huggingface": {
        "model.safetensors": "merged",
        "pytorch_model.bin": "pytorch",
        "config.json": "merged",
        "tokenizer_config.json": "merged",
    },
    "onnx": dict.fromkeys(("model.onnx", "config.json", "tokenizer.json"), "onnx"),
    "tensorrt": dict.fromkeys(("model.trt", "config.json", "profiling_data.json"), "tensorrt"),
    GGUF: {"model.gguf": GGUF},
}
COMPRESSIONS = ("none", *archives.KINDS)
PRECISIONS = ("q8_0", "f16")


@dataclass(frozen=True)
class Order:
    """What to pack: `files` are names of the format's table, all of them where none is given."""

    root: Path
    format: str
    compression: str = "none"
    precision: str | None = None
    files: tuple[str, ...] = ()

    def check(self) -> None:
        """Raises Failure(bad_config) for the first part that is wrong."""
        _check("format", self.format, tuple(FORMATS))
        _check("compression", self.compression, COMPRESSIONS)
        for name in self.files:
            _check("file", name, tuple(FORMATS[self.format]))
        if self.precision is not None:
            _check("precision", self.precision, PRECISIONS)
            if self.format != GGUF:
                message = f"--precision is for the format {GGUF}; {self.format} keeps the precision of the model."
                raise Failure("bad_config", message, "Leave it out.")

    @property
    def names(self) -> list[str]:
        return [name for name in FORMATS[self.format] if name in self.files or not self.files]

    def kind_of(self, name: str) -> str:
        kind = FORMATS[self.format][name]
        return f"{kind}-{self.precision or PRECISIONS[0]}" if kind == GGUF else kind


def _check(option: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        message = f"--{option} is {value!r:.60}, which is unknown; known are {', '.join(known)}."
        raise Failure("bad_config", message, "Name one of those.")


def main() -> int:
    order = _arguments()
    folders = Folders(order.root)
    try:
        Interruption().listen()
        order.check()
        device.prepare_environment()
        log.capture_libraries()
        log.capture_transformers()
        package(order)
    except BaseException as error:
        return failures.report(error, folders)
    return 0


def _arguments() -> Order:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=Path("/opt/ml"), help="folder of SageMaker's layout")
    parser.add_argument("--format", required=True, help=", ".join(FORMATS))
    parser.add_argument("--compression", default="none", help=", ".join(COMPRESSIONS))
    parser.add_argument("--file", action="append", default=[], help="a file of the format (default: all), repeatable")
    parser.add_argument("--precision", help=f"of {GGUF}: {', '.join(PRECISIONS)} (default {PRECISIONS[0]})")
    # SageMaker appends the word "train" to whatever the image starts.
    parser.add_argument("command", nargs="?", choices=["train"], help=argparse.SUPPRESS)
    given = parser.parse_args()
    return Order(given.root.resolve(), given.format, given.compression, given.precision, tuple(given.file))


def package(order: Order) -> None:
    """Raises Failure: export_unsupported, export_failed (see `exports.export`), bad_adapter for a damaged model."""
    started = time.monotonic()
    from trainer import packing

    target = Folders(order.root).model
    target.mkdir(parents=True, exist_ok=True)
    inputs = order.root / "input" / "data"
    # On the job's volume, so that what is made moves without being copied.
    with tempfile.TemporaryDirectory(prefix="package-", dir=order.root) as draft:
        found = packing.Exports(inputs / "model", inputs / "base", Path(draft))
        collected = [path for name in order.names for path in found.collect(order.kind_of(name), name)]
        rows = sorted(map(_row, collected), key=lambda row: str(row["name"]))
        archive = None
        if order.compression == "none":
            for path in collected:
                os.replace(path, target / path.name)
        else:
            packed = target / f"model.{order.compression}"
            archives.pack(order.compression, collected, packed)
            archive = _row(packed)
        proofs = found.proofs
    report = {
        "format": order.format,
        "compression": order.compression,
        "files": rows,
        "archive": archive,
        "proof": proofs or None,
        "seconds": round(time.monotonic() - started, 1),
    }
    files.write_json(target / REPORT, report)
    log.info("packed", format=order.format, files=order.names, archive=archive)


def _row(path: Path) -> dict[str, Any]:
    return {"name": path.name, "size": path.stat().st_size, "sha256": files.sha256(path)}


if __name__ == "__main__":
    sys.exit(main())
