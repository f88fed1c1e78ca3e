"""Says all that is wrong with training files before anything is trained.

    python -m trainer.validate --train FILE [--validation FILE] --model FOLDER [--method sft]
        [--max-sequence-length N] [--preview N] [--preview-line N …] [--repair FILE] [--output report.json]
    python -m trainer.validate --root /opt/ml

The report is JSON, on standard output unless --output is given; what people read goes to standard error. With --root,
files, base model and job config lie where a training job has them, and the report goes to output/data/report.json.

Memory stays below 300 MB and 16 bytes a row, but for the rows that are shown, and for a text of millions of characters
in which a tokenizer finds no place to begin anew. Every token is counted, also of rows that are cut.

Exit codes: 0 all files can be trained on, 1 not so (or a wrong config, or a file is missing), 2 the base model cannot
be read, or an option is unknown or malformed.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from luthier.datasets.findings import Finding
from luthier.datasets.repair import Repair
from luthier.datasets.report import Report
from luthier.datasets.row_hashes import RowHashes
from luthier.datasets.rows import FORMATS_OF_METHOD
from trainer import config, failures, files
from trainer.channels import chunks, open_channel
from trainer.examination import Examination, examine, useless
from trainer.failures import Failure
from trainer.folders import Folders
from trainer.templates import fingerprint, load_tokenizer

LONGEST_SEQUENCE = 2_048
LINES_SHOWN = 10


@dataclass(frozen=True)
class Order:
    """What to validate, and how.

    previews: how many of the riskiest rows to show; lines: which others; output: None for standard output; repair:
    where a repaired training file goes.
    """

    train: list[Path]
    validation: list[Path]
    model: Path
    method: str
    max_length: int
    previews: int
    lines: list[int]
    output: Path | None
    repair: Path | None


def main(arguments: Sequence[str] | None = None) -> int:
    given = _parser().parse_args(arguments)
    folders = Folders(given.root.resolve()) if given.root else None
    try:
        order = _order(given, folders)
        report = validate(order)
        _write(report, order.output)
        if not report["ok"]:
            raise Failure("bad_dataset", report["summary"])
    except Exception as error:
        if folders:
            return failures.report(error, folders)
        failure = failures.classify(error)
        _say(f"{failure.code}: {failure.message} {failure.hint}")
        return failure.exit_code
    return 0


def validate(order: Order) -> dict[str, Any]:
    """The report: {ok, summary, method, max_sequence_length, template_sha256, train: [file], validation: [file]}.

    A file is what `Examination.as_json` makes. Raises Failure(bad_base_model, bad_config).
    """
    tokenizer = load_tokenizer(order.model)
    repairs = {"repair": repaired(order, order.repair, tokenizer)} if order.repair else {}
    trained = RowHashes()
    train = list(_examined("train", order.train, order, tokenizer, trained))
    validation = list(_examined("validation", order.validation, order, tokenizer, RowHashes(), against=trained))
    return {
        "ok": all(examined.report.ok for examined in train + validation),
        "summary": " ".join(_summary(examined) for examined in train + validation),
        "method": order.method,
        "max_sequence_length": order.max_length,
        "template_sha256": fingerprint(tokenizer),
        "train": [examined.as_json() for examined in train],
        "validation": [examined.as_json() for examined in validation],
        **repairs,
    }


def repaired(order: Order, target: Path, tokenizer: Any) -> dict[str, Any]:
    """Write one training file of what is good or can be corrected without judgement, and examine it.

    {file, kept, changed, corrections, dropped, ok, counts}: what was done to how many rows (see `Repair`), and the
    verdict on the new file with its findings per code.
    """
    repair = Repair(order.method, lambda row: useless(tokenizer, row))
    with files.replacing(target) as file:
        for path in order.train:
            file.writelines(repair.lines(chunks(path)))
    _say(f"repair: {repair.kept} rows kept, {repair.changed} of them corrected, {repair.dropped.total()} lines dropped")
    rest = examine(target, Report(order.method), tokenizer, order.method, order.max_length)
    _say(f"repair: {_summary(rest)}")
    names = ("kept", "changed", "corrections", "dropped")
    done = {"file": target.name} | {name: getattr(repair, name) for name in names}
    return done | {"ok": rest.report.ok, "counts": dict(rest.report.counts)}


def _examined(
    part: str, paths: list[Path], order: Order, tokenizer: Any, hashes: RowHashes, against: RowHashes | None = None
) -> Iterator[Examination]:
    for path in paths:
        report = Report(order.method, against, hashes=hashes)
        examined = examine(path, report, tokenizer, order.method, order.max_length, order.previews, order.lines)
        _tell(part, examined)
        yield examined


def _tell(part: str, examined: Examination) -> None:
    counts = examined.counts
    _say(f"{part}: {_summary(examined)}")
    _say(
        f"  {counts.tokens} tokens, {counts.trained} of them trained; "
        f"{counts.truncated} rows are cut, {counts.dropped} yield nothing to train"
    )
    found: dict[str, list[Finding]] = {}
    for finding in examined.findings:
        found.setdefault(finding.code, []).append(finding)
    for code, findings in sorted(found.items(), key=lambda item: (item[1][0].level, item[0])):
        _tell_code(code, findings, examined.report.counts[code])
    for shown in examined.previews:
        if "message" in shown:
            _say(f"  line {shown['line']} cannot be shown: {shown['message']}")


def _tell_code(code: str, findings: list[Finding], count: int) -> None:
    first = findings[0]
    lines = ", ".join(str(finding.line) for finding in findings[:LINES_SHOWN])
    more = f" and {count - LINES_SHOWN} more" if count > LINES_SHOWN else ""
    _say(
        f"  {first.level} {code}, line {lines}{more}: {first.pointer} {first.message} {first.fix}".replace(":  ", ": ")
    )


def _summary(examined: Examination) -> str:
    counts = ", ".join(f"{count} {code}" for code, count in sorted(examined.report.counts.items()))
    verdict = "can be trained on" if examined.report.ok else "cannot be trained on"
    return f"{examined.path.name} {verdict}: {examined.report.rows} rows, {counts or 'no findings'}."


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")


def _write(report: dict[str, Any], output: Path | None) -> None:
    if output:
        files.write_json(output, report)
    else:
        sys.stdout.write(json.dumps(report, ensure_ascii=False, indent=2) + "\n")


def _order(given: argparse.Namespace, folders: Folders | None) -> Order:
    """Raises Failure(bad_config) if something is missing that the arguments do not say."""
    job = config.load(folders.job_config) if folders and folders.job_config.exists() else None
    asked = job.hyperparameters.max_sequence_length if job else LONGEST_SEQUENCE
    model = given.model or (folders.base_model if folders else None)
    train = _files(given.train, folders.train if folders else None)
    validation = _files(given.validation, folders.validation if folders else None)
    if not train or not model:
        raise Failure("bad_config", "There is nothing to validate: give --train and --model, or --root.")
    for path in (*train, *validation):
        if not path.is_file():
            raise Failure("bad_config", f"There is no file {path}.")
    output = given.output or (folders.root / "output" / "data" / "report.json" if folders else None)
    _require_own_place({"--repair": given.repair, "--output": output}, (*train, *validation))
    return Order(
        train=train,
        validation=validation,
        model=model,
        method=given.method or (job.method if job else "sft"),
        max_length=given.max_sequence_length or asked,
        previews=given.preview,
        lines=given.preview_line,
        output=output,
        repair=given.repair,
    )


def _require_own_place(written: dict[str, Path | None], inputs: Sequence[Path]) -> None:
    """Raises Failure(bad_config) if a file to write, by its option, would take the place of another one."""
    places: dict[Path, str] = {}
    for option, path in written.items():
        if path is None:
            continue
        # A rename would put a file in the place of a device, too.
        if path.exists() and not path.is_file():
            raise Failure("bad_config", f"{option} names {path}, which is not a file: give the path of one.")
        if overwritten := next((given for given in inputs if path.exists() and path.samefile(given)), None):
            raise Failure("bad_config", f"{option} would overwrite {overwritten}: give another file.")
        if other := places.get(path.resolve()):
            raise Failure("bad_config", f"{other} and {option} name the same file, {path}: give two.")
        places[path.resolve()] = option


def _files(given: Path | None, folder: Path | None) -> list[Path]:
    if given:
        return [given]
    channel = open_channel(folder) if folder else None
    return list(channel.paths) if channel else []


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", type=Path, help="JSONL file to train on")
    parser.add_argument("--validation", type=Path, help="JSONL file to validate with")
    parser.add_argument("--model", type=Path, help="folder of the base model; its tokenizer is enough")
    parser.add_argument("--method", choices=sorted(FORMATS_OF_METHOD), help="sft unless the job config says otherwise")
    parser.add_argument("--max-sequence-length", type=_positive, help=f"in tokens, {LONGEST_SEQUENCE} by default")
    parser.add_argument("--preview", type=_count, default=0, metavar="N", help="show the N riskiest rows of each file")
    parser.add_argument(
        "--preview-line", type=_positive, nargs="+", default=[], metavar="N", help="show these lines of each file"
    )
    parser.add_argument("--repair", type=Path, metavar="FILE", help="write a training file without what is wrong")
    parser.add_argument("--output", type=Path, help="where to write the report")
    parser.add_argument("--root", type=Path, help="folder of SageMaker's layout, /opt/ml in a job")
    # SageMaker appends the word "train" to whatever the image starts.
    parser.add_argument("command", nargs="?", choices=["train"], help=argparse.SUPPRESS)
    return parser


def _count(text: str, least: int = 0) -> int:
    if not text.isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number from {least}")
    return int(text)


def _positive(text: str) -> int:
    return _count(text, least=1)


def _do_without_torch() -> None:
    """Transformers imports PyTorch where it is installed; a tokenizer works without, and starts seconds earlier."""
    os.environ["TRANSFORMERS_NO_ADVISORY_WARNINGS"] = "1"
    # None makes every import of it fail (docs.python.org, "sys.modules").
    sys.modules["torch"] = None  # type: ignore[assignment]


if __name__ == "__main__":
    _do_without_torch()
    sys.exit(main())
