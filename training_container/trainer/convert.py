"""Writes a finished model in other formats.

    python -m trainer.convert --model FOLDER [--base FOLDER] --to gguf-q8_0 [--to onnx …] --output FOLDER
    python -m trainer.convert --root /opt/ml

The first form is for a person. The second is a SageMaker job of the training image: input/data/model/ holds the
finished model, input/data/base/ its base snapshot (not needed for full weights), CONVERT_FORMATS the kinds, separated
by commas. Each kind becomes a folder of the output (model/ of the job), and exports.json, written last, holds their
rows as in the model card's `exports`. Exit codes and output/failure are those of trainer.train.
"""

import argparse
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from trainer import device, exports, failures, files, log
from trainer.failures import Failure
from trainer.folders import Folders
from trainer.interruption import Interruption

ROWS = "exports.json"


@dataclass(frozen=True)
class Order:
    """What to convert, to which kinds, and where to."""

    model: Path
    base: Path
    kinds: tuple[str, ...]
    output: Path

    @classmethod
    def read(cls, root: Path, environment: Mapping[str, str]) -> "Order":
        """A job's order. Raises Failure(bad_config) when CONVERT_FORMATS names no kind."""
        kinds = tuple(kind.strip() for kind in environment.get("CONVERT_FORMATS", "").split(",") if kind.strip())
        if not kinds:
            raise Failure("bad_config", "The environment variable CONVERT_FORMATS is missing.")
        inputs = root / "input" / "data"
        return cls(inputs / "model", inputs / "base", kinds, Folders(root).model)


def main() -> int:
    given = _arguments()
    folders = Folders(given.root.resolve())
    try:
        Interruption().listen()
        device.prepare_environment()
        log.capture_libraries()
        log.capture_transformers()
        if given.model:
            order = Order(given.model, given.base or given.model, tuple(given.to), given.output)
        else:
            order = Order.read(folders.root, os.environ)
        convert(order)
    except BaseException as error:
        return failures.report(error, folders) if not given.model else _tell(error)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="folder with an adapter or full weights")
    parser.add_argument("--base", type=Path, help="the adapter's base snapshot")
    parser.add_argument("--to", action="append", choices=list(exports.KINDS), help="may be given more than once")
    parser.add_argument("--output", type=Path, help="where the folders go, one per kind")
    parser.add_argument("--root", type=Path, default=Path("/opt/ml"), help="folder of SageMaker's layout")
    # SageMaker appends the word "train" to whatever the image starts.
    parser.add_argument("command", nargs="?", choices=["train"], help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.model and not (given.to and given.output):
        parser.error("--model needs --to and --output")
    return given


def _tell(error: BaseException) -> int:
    failure = failures.classify(error)
    log.error(failure.message, code=failure.code, hint=failure.hint)
    return failure.exit_code


def convert(order: Order) -> None:
    """Export every kind in turn, then write their rows. Raises Failure for the first that fails; earlier ones stay."""
    unknown = [kind for kind in order.kinds if kind not in exports.KINDS]
    if unknown:
        known = ", ".join(exports.KINDS)
        raise Failure("bad_config", f"CONVERT_FORMATS: {', '.join(unknown)} is unknown; the kinds are {known}.")
    try:
        order.output.mkdir(parents=True, exist_ok=True)
        (order.output / ROWS).unlink(missing_ok=True)
    except OSError as error:
        if failures.classify(error).code != "internal":
            raise
        raise Failure("bad_config", f"The output folder {order.output} cannot be written: {error.strerror}.") from error
    rows = [exports.export(kind, order.model, order.base, order.output / kind) for kind in dict.fromkeys(order.kinds)]
    files.write_json(order.output / ROWS, rows)


if __name__ == "__main__":
    sys.exit(main())
