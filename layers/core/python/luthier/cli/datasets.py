"""Datasets: check one here or there, upload it, mend it, see what is trained on."""

import os
import time
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from luthier.cli.asking import AsJson, Shown, asking, given
from luthier.cli.stop import REFUSED, told

if TYPE_CHECKING:
    from luthier.client import Luthier

app = typer.Typer(no_args_is_help=True, help="Training files.")

FileId = Annotated[str, typer.Argument(metavar="FILE", help="Id of the file, as `luthier datasets list` shows it.")]
Target = Annotated[str, typer.Argument(metavar="FILE", help="A JSONL file here, or the id of one that is uploaded.")]
_PAUSE_SECONDS = 5.0
_PREVIEWED = (
    "model", "method", "max_sequence_length", "examples", "tokens", "trained_tokens", "truncated_rows",
    "truncated_tokens", "dropped_rows", "longest_row_tokens",
)  # fmt: skip


@app.command("list")
@asking
def list_files(
    client: "Luthier",
    purpose: Annotated[str | None, typer.Option(help="As fine-tune, evals, batch.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many, newest first.")] = 20,
) -> Shown:
    """List files, newest first.

    Example: luthier datasets list --purpose fine-tune
    """
    from luthier.cli.showing import table

    rows = list(islice(client.files.list(limit=min(limit, 100), **given(purpose=purpose)), limit))
    shown = table(
        rows, id="id", name="filename", status="status", rows="rows", bad_lines="bad_lines", purpose="purpose"
    )
    return Shown(rows, shown)


@app.command()
@asking
def upload(
    client: "Luthier",
    file: Annotated[Path, typer.Argument(help="JSONL, up to 5 GB.")],
    purpose: Annotated[str, typer.Option(help="fine-tune, evals or batch.")] = "fine-tune",
    expires_after: Annotated[int | None, typer.Option(min=3600, help="Seconds, one hour to 30 days.")] = None,
    idempotency_key: Annotated[
        str | None, typer.Option(help="A repeated upload with the same key is one file.")
    ] = None,
) -> Shown:
    """Upload a file and wait until it has been checked. Exit status 7: it is there, but cannot be trained on.

    Example: luthier datasets upload train.jsonl
    """
    from luthier.cli.files import uploaded

    options = given(expires_after=expires_after, idempotency_key=idempotency_key)
    sent = uploaded(client, file.expanduser(), purpose=purpose, **options)
    said = f"{sent.id} is {sent.status}: {sent.rows} rows, about {sent.tokens} tokens, {sent.warnings_count} warnings."
    return Shown(sent, said)


@app.command()
def validate(
    file: Target,
    method: Annotated[str | None, typer.Option(help="sft, dpo, orpo or kto: the columns must be those of it.")] = None,
    profile: Annotated[str | None, typer.Option(help="Where an uploaded file is, as with other commands.")] = None,
    as_json: AsJson = False,
) -> None:
    """Say all that is wrong with a file. One of this machine is read here, without the platform.

    Exit status 2: it cannot be trained on.

    Example: luthier datasets validate train.jsonl --method dpo
    """
    from luthier.cli.files import as_report, examined, is_here
    from luthier.cli.files import told as told_report
    from luthier.cli.showing import dumped, show
    from luthier.datasets.rows import FORMATS_OF_METHOD

    with told():
        if method is not None and method not in FORMATS_OF_METHOD:
            raise typer.BadParameter(f"{method} is none of {', '.join(FORMATS_OF_METHOD)}.", param_hint="--method")
        if is_here(file):
            path = Path(file).expanduser()
            report = as_report(path, examined(path, method))
        else:
            from luthier.client import Luthier

            with Luthier(profile=profile) as client:
                report = dumped(client.files.report(file))
    show(Shown(report, told_report(report)), as_json=as_json)
    if report["status"] != "processed":
        raise typer.Exit(REFUSED)


@app.command()
@asking
def repair(
    client: "Luthier",
    file_id: FileId,
    output: Annotated[Path | None, typer.Option(help="Where to put the new file's content here as well.")] = None,
) -> Shown:
    """Make a new file of the rows that are good or can be corrected without judgement.

    Example: luthier datasets repair file_01k9j3v6x2m8q4r7t5w0y1z3ab --output mended.jsonl
    """
    from luthier.cli.showing import facts

    made = client.files.wait(client.files.repair(file_id).id)
    if output:
        draft = output.with_name(f".{output.name}.draft")
        draft.write_bytes(client.files.content(made.id))
        os.replace(draft, output)
    shown = facts(
        made,
        id="id",
        status="status",
        rows_kept=lambda file: file.repair.rows_kept,
        rows_changed=lambda file: file.repair.rows_changed,
        rows_dropped=lambda file: file.repair.rows_dropped,
        corrections=lambda file: _counts(file.repair.corrections),
        dropped=lambda file: _counts(file.repair.dropped),
        written_to=lambda _: output and str(output),
    )
    return Shown(made, shown)


def _counts(counts: dict[str, int]) -> list[str]:
    return [f"{count} {code}" for code, count in counts.items()]


@app.command()
@asking
def preview(
    client: "Luthier",
    file_id: FileId,
    model: Annotated[str, typer.Option(help="Base model whose tokenizer and chat template count.")],
    limit: Annotated[
        int | None, typer.Option(min=1, max=20, help="How many of the riskiest rows; 5 by default.")
    ] = None,
    row: Annotated[int | None, typer.Option(min=1, help="The row of this line instead.")] = None,
    max_sequence_length: Annotated[int | None, typer.Option(min=1, help="In tokens; what is longer is cut.")] = None,
) -> Shown:
    """Show what is trained of a file's rows: green is trained on, red is cut off. The first time it takes minutes.

    Example: luthier datasets preview file_01k9j3v6x2m8q4r7t5w0y1z3ab --model llama-3.1-8b
    """
    from rich.console import Group

    from luthier.cli.showing import console, facts

    asked = given(limit=limit, row=row, max_sequence_length=max_sequence_length)
    answer = client.files.preview(file_id, model=model, **asked)
    if answer.status == "preparing":
        with console(err=True).status("The rows are being tokenized …"):
            while answer.status == "preparing":
                time.sleep(_PAUSE_SECONDS)
                answer = client.files.preview(file_id, model=model, **asked)
    shown = facts(answer, **{name: name for name in _PREVIEWED})
    return Shown(answer, Group(shown, *map(_shown_row, answer.data)))


def _shown_row(row: Any) -> Any:
    from rich.console import Group
    from rich.text import Text

    from luthier.cli.showing import plain

    parts = [Text(f"\nline {row.line}{f', risk: {row.risk}' if row.risk else ''} {row.message or ''}", style="bold")]
    for sequence in row.sequences:
        text = Text(sequence.text, style="dim")
        for span in sequence.trained:
            text.stylize("green not dim", *span.characters)
        if sequence.truncation:
            text.stylize("red not dim", sequence.truncation.character)
        if text.plain == plain(text.plain):
            parts.append(text)
        else:
            parts.append(Text(plain(text.plain)))
    parts += [Text(f"{finding.level} {finding.code}: {finding.message} {finding.fix}") for finding in row.findings]
    return Group(*parts)
