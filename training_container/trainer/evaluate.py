"""Judge a finished model beside its base: `python -m trainer.evaluate --model FOLDER --base FOLDER --data FILE`.

What it is judged by are held-out rows, lm-eval task files (--tasks FOLDER), or both. Without --model the base is judged
alone. With --root it reads SageMaker's channels instead: base/, model/ (the finished model, if any), validation/ and
tasks/ (one of them at least), train/ (optional, to leave out what the model was trained on), and writes
model/evaluation.json.
Exit codes: 0 done, 1 the user's fault, 2 ours, 3 stopped by SIGTERM.
"""

import argparse
import json
import math
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from trainer import device, failures, files, log
from trainer.config import MAX_EXAMPLES, MAX_NEW_TOKENS
from trainer.failures import Failure
from trainer.folders import Folders

RANGES = (("max_examples", 0, MAX_EXAMPLES), ("max_new_tokens", 1, MAX_NEW_TOKENS), ("max_seconds", 0, math.inf))


def main() -> int:
    given = _arguments()
    try:
        signal.signal(signal.SIGTERM, _stop)
        evaluate(given)
    except BaseException as error:
        if given.root:
            return failures.report(error, Folders(given.root.resolve()))
        failure = failures.classify(error)
        log.error(failure.message, code=failure.code, hint=failure.hint)
        return failure.exit_code
    return 0


def _stop(*_: object) -> None:
    raise Failure("interrupted", "The evaluation was stopped.", "Start it again: it begins anew.")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, help="folder of SageMaker's layout, which sets all other paths")
    parser.add_argument("--model", type=Path, help="folder of the finished model: an adapter or full weights")
    parser.add_argument("--base", type=Path, help="folder of its base model")
    parser.add_argument("--data", type=Path, help="held-out rows: a .jsonl file or a folder of them")
    parser.add_argument("--train", type=Path, help="rows of the training, which are left out; file or folder")
    parser.add_argument("--tasks", type=Path, help="folder of lm-eval task files")
    parser.add_argument("--task", action="append", help="a task of that folder (default: all), repeatable")
    parser.add_argument("--output", type=Path, help="the table, as JSON; the answers go beside it, as JSONL")
    parser.add_argument("--max-examples", type=int, default=100, help="answers generated (default 100, 0 for none)")
    parser.add_argument("--max-new-tokens", type=int, default=256, help="longest answer (default 256 tokens)")
    parser.add_argument(
        "--max-seconds", type=float, default=math.inf, help="stop after that time with what is judged by then"
    )
    # SageMaker appends the word "train" to whatever the image starts.
    parser.add_argument("command", nargs="?", choices=["train"], help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.root:
        _lay_out(given)
    return given


def _lay_out(given: argparse.Namespace) -> None:
    """SageMaker's channels, for each path that is not given."""
    inputs, folders = given.root / "input" / "data", Folders(given.root)
    channels = {"model": "model", "base": "base", "data": "validation", "train": "train", "tasks": "tasks"}
    for name, channel in channels.items():
        if getattr(given, name) is None and (name == "base" or (inputs / channel).is_dir()):
            setattr(given, name, inputs / channel)
    given.output = given.output or folders.model / "evaluation.json"


def evaluate(given: argparse.Namespace) -> None:
    """Raises Failure and others."""
    started = time.monotonic()
    _check_paths(given)
    _check_ranges(given)
    log.info("evaluating", model=given.model, base=given.base, data=given.data)
    device.prepare_environment()
    log.capture_libraries()
    log.capture_transformers()
    from trainer.evaluation import comparison, held_out, report, task_files, tasks, versions

    rows = held_out.read(given.data, given.train) if given.data else None
    known = sorted(task_files.read_tasks(given.tasks)) if given.tasks else []
    chosen = tasks.find(given.task or known, given.tasks)
    subject = given.model or given.base
    models = versions.of_folders(given.model, given.base)
    tokenizer = _tokenizer(subject)
    with tempfile.TemporaryDirectory() as folder:
        table, records = comparison.evaluate(
            models,
            tokenizer,
            **_judged_rows(given, rows, tokenizer, _max_length(subject, models.context), Path(folder)),
            lm_eval_tasks=chosen,
            deadline=lambda reserve: time.monotonic() - started + reserve > given.max_seconds,
        )
    report.write_records(given.output.with_suffix(".jsonl"), records)
    files.write_json(given.output, table)
    log.info(report.sentence(table), evaluation=table)


def _check_paths(given: argparse.Namespace) -> None:
    needed = ["base", "output", *(["tasks"] if given.task else [])]
    absent = [f"--{name}" for name in needed if not getattr(given, name)]
    if not (given.data or given.tasks or given.task):
        absent.append("--data, --tasks")
    if absent:
        hint = "Name the folders to compare, and what to judge them by: rows, task files, or both."
        raise Failure("bad_config", f"{', '.join(absent)} or --root is missing.", hint)
    if not any(path and path.exists() for path in (given.data, given.tasks)):
        message = (
            f"There is nothing to judge by: neither {given.data or 'rows'} nor {given.tasks or 'task files'} exist."
        )
        raise Failure("bad_config", message, "Give held-out rows, task files, or both.")


def _judged_rows(given: argparse.Namespace, rows: Any, tokenizer: Any, longest: int, folder: Path) -> dict[str, Any]:
    """What `comparison.evaluate` takes of the held-out rows; nothing where there are none."""
    if rows is None:
        return {}
    dataset, leaks = rows.tokenize(tokenizer, longest, folder / "tokens")
    return {
        "dataset": dataset,
        "rows": rows.rows(),
        "max_examples": given.max_examples,
        "max_new_tokens": given.max_new_tokens,
        "leaked": rows.leaked,
        "leaked_examples": leaks,
    }


def _check_ranges(given: argparse.Namespace) -> None:
    for name, least, most in RANGES:
        value = getattr(given, name)
        if not least <= value <= most:
            option = f"--{name.replace('_', '-')}"
            message = f"{option} is {value!r:.40}; it must lie from {least:,} to {most:,}."
            raise Failure("bad_config", message, "Give a value inside the range.")


def _tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder)
    except (OSError, ValueError) as error:
        raise Failure("bad_base_model", f"The tokenizer in {folder} cannot be loaded: {error}") from error


def _max_length(folder: Path, context: int) -> int:
    """Where the run cut its rows, so that the loss is of the same tokens; the whole context if no card tells."""
    try:
        card = json.loads((folder / "model_card.json").read_text(encoding="utf-8"))
        return int(card["hyperparameters"]["max_sequence_length"])
    except (OSError, ValueError, KeyError, TypeError):
        return context


if __name__ == "__main__":
    sys.exit(main())
