"""Training files on this machine: checked without the platform, and brought to it."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luthier.cli.showing import console, table
from luthier.cli.stop import ABSENT, Stop

if TYPE_CHECKING:
    from rich.progress import Progress

    from luthier.client import Luthier
    from luthier.client.api.files import File
    from luthier.datasets.report import Report

_PIECE = 1 << 20
_LINES_SHOWN = 10


def is_here(target: str) -> bool:
    """Whether a file of this machine is meant, not one of the platform. Raises Stop for a path that leads nowhere."""
    path = Path(target).expanduser()
    if path.is_file():
        return True
    if "://" not in target and (path.is_dir() or target.startswith(("/", "./", "../", "~"))):
        raise Stop(f"There is no file {target}.", "Name a JSONL file, or the id of one that is uploaded.", ABSENT)
    return False


def examined(path: Path, method: str | None = None) -> "Report":
    """What the platform would say about a file, with a bar while it is read."""
    from luthier.datasets.report import Report

    report = Report(method)
    with bar() as progress, progress.open(path, "rb", description=path.name) as file:
        while piece := file.read(_PIECE):
            report.feed(piece)
    return report.close()


def as_report(path: Path, report: "Report") -> dict[str, Any]:
    """The same object as the API's report of a file, without what only an uploaded file has."""
    names = ("format", "rows", "bad_lines", "blank_lines", "characters", "tokens", "longest_row_tokens", "sha256")
    return {
        "object": "file.report",
        "filename": path.name,
        "status": "processed" if report.ok else "error",
        **{name: getattr(report, name) for name in names},
        "ignored_keys": dict(report.ignored_keys),
        "findings_count": report.counts.total(),
        "warnings_count": report.warnings,
        "counts": dict(report.counts),
        "findings": [
            asdict(finding) for finding in sorted(report.findings, key=lambda one: (one.level != "error", one.line))
        ],
    }


def told(report: dict[str, Any]) -> Any:
    """A report for people: the verdict, and a row per kind of fault."""
    from rich.console import Group

    can = "can be trained on" if report["status"] == "processed" else "cannot be trained on"
    verdict = (
        f"{report['filename']} {can}: {report['rows']} rows of {report['format'] or 'no known format'}, about "
        f"{report['tokens']} tokens, {report['bad_lines']} bad lines, {report['warnings_count']} warnings."
    )
    kinds: dict[str, list[dict[str, Any]]] = {}
    for finding in report["findings"]:
        kinds.setdefault(finding["code"], []).append(finding)
    if not kinds:
        return verdict
    rows = table(
        kinds.items(),
        level=lambda kind: kind[1][0]["level"],
        code=lambda kind: kind[0],
        count=lambda kind: report["counts"][kind[0]],
        lines=lambda kind: [finding["line"] for finding in kind[1][:_LINES_SHOWN]],
        first=lambda kind: f"{kind[1][0]['pointer']} {kind[1][0]['message']} {kind[1][0]['fix']}".strip(),
    )
    return Group(verdict, rows)


def uploaded(client: "Luthier", path: Path, **options: Any) -> "File":
    """The file once it has been checked. Raises WorkFailed where it cannot be used."""
    from luthier.client.errors import WorkFailed

    with bar() as progress:
        with progress.open(path, "rb", description=f"upload {path.name}") as content:
            sent = client.files.upload(content, filename=path.name, **options)
        checking = progress.add_task("check", total=None)
        try:
            checked: File = client.files.wait(sent.id)
        except WorkFailed as failure:
            failure.remedy = failure.remedy or f"See what is wrong: luthier datasets validate {sent.id}"
            raise
        progress.update(checking, total=1, completed=1)
    return checked


def dataset_of(client: "Luthier", target: str, method: str | None, **options: Any) -> str:
    """The id or name of a dataset; a file of this machine is checked here, then uploaded. Raises Stop, WorkFailed.

    options: those of `upload`.
    """
    if not is_here(target):
        return target
    path = Path(target).expanduser()
    report = examined(path, method)
    if not report.ok:
        console(err=True).print(told(as_report(path, report)))
        raise Stop(f"{path} cannot be trained on; nothing was uploaded.", "Mend the lines above.")
    return uploaded(client, path, **options).id


def bar() -> "Progress":
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    screen = console(err=True)
    return Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal)
