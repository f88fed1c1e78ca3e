"""Shows what training makes of a file's rows, the riskiest first: `python -m trainer.show --root R --method sft …`.

A SageMaker job of the training image: input/data/train/ holds the file, input/data/base/ its base model's snapshot, of
which the tokenizer is read. model/ gets preview.json (see `shown`). A file that cannot be trained on is shown as far as
its good rows go. Exit codes and output/failure are those of trainer.train.
"""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from luthier.datasets.report import Report
from luthier.datasets.rows import FORMATS_OF_METHOD
from trainer import device, failures, files, log
from trainer.examination import Examination, examine
from trainer.failures import Failure
from trainer.folders import Folders
from trainer.interruption import Interruption
from trainer.templates import fingerprint, load_tokenizer

PREVIEW = "preview.json"
# All rows together have to fit into one answer of a function, which takes 6 MB.
MAX_BYTES = 4_000_000


def main() -> int:
    given = _arguments()
    folders = Folders(given.root.resolve())
    try:
        Interruption().listen()
        device.prepare_environment()
        log.capture_libraries()
        log.capture_transformers()
        content = shown(
            folders.root / "input" / "data", given.method, given.max_sequence_length, given.rows, given.line
        )
        files.write_json(folders.model / PREVIEW, content)
    except BaseException as error:
        return failures.report(error, folders)
    return 0


def shown(inputs: Path, method: str, max_length: int, count: int, line: int | None) -> dict[str, Any]:
    """The preview: totals of the file, and under `rows` its `count` riskiest rows, or the one of a line (from 1).

    A row is {line, risk, format, sequences, message, findings}, sequences as `preview.preview` makes them; where there
    are none, the message says why. Raises Failure(bad_base_model, bad_dataset).
    """
    tokenizer = load_tokenizer(inputs / "base")
    path = _only_file(inputs / "train")
    lines = [line] if line else []
    examined = examine(path, Report(method), tokenizer, method, max_length, 0 if lines else count, lines)
    return {
        "method": method,
        "max_sequence_length": max_length,
        "template_sha256": fingerprint(tokenizer),
        **_totals(examined),
        "rows": _fitting([_whole(row, examined) for row in examined.previews or examined.riskiest]),
    }


def _totals(examined: Examination) -> dict[str, Any]:
    names = ("examples", "tokens", "trained_tokens", "truncated_rows", "truncated_tokens", "dropped_rows")
    told = examined.as_json()
    return {name: told[name] for name in (*names, "longest_row_tokens", "counts")}


def _whole(row: dict[str, Any], examined: Examination) -> dict[str, Any]:
    found = [asdict(finding) for finding in examined.findings if finding.line == row["line"]]
    return {"risk": None, "format": None, "sequences": [], "message": None} | row | {"findings": found}


def _fitting(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows, without the tokens of those for which there is no room."""
    room, fitting = MAX_BYTES, []
    for row in rows:
        if (size := len(json.dumps(row))) > room:
            message = f"What becomes of the row takes {size} bytes, for which an answer has no room."
            hint = f"Look at it with: python -m trainer.validate --preview-line {row['line']}"
            row = row | {"sequences": [], "message": f"{message} {hint}"}
        else:
            room -= size
        fitting.append(row)
    return fitting


def _only_file(folder: Path) -> Path:
    paths = [path for path in folder.iterdir() if path.is_file()] if folder.is_dir() else []
    if len(paths) != 1:
        raise Failure(
            "bad_dataset", f"The train channel has {len(paths)} files, not one.", "Ask for the preview again."
        )
    return paths[0]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=Path("/opt/ml"), help="folder of SageMaker's layout")
    parser.add_argument("--method", required=True, choices=sorted(FORMATS_OF_METHOD))
    parser.add_argument("--max-sequence-length", type=int, required=True, help="in tokens")
    parser.add_argument("--rows", type=int, default=20, help="how many of the riskiest rows to show")
    parser.add_argument("--line", type=int, help="the row to show instead, by its line")
    # SageMaker appends the word "train" to whatever the image starts.
    parser.add_argument("command", nargs="?", choices=["train"], help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
