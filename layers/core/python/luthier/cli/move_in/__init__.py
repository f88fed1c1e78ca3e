"""Moving in from OpenAI: its fine-tuning jobs, files and results into a folder, and from there onto open models."""

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from luthier.cli import stop
from luthier.cli.stop import Stop

if TYPE_CHECKING:
    from luthier.cli.move_in.asking import Api
    from luthier.cli.move_in.platform import Platform

app = typer.Typer(no_args_is_help=True, help="Move in from OpenAI: files, jobs and results.")
STATUSES = (
    "Exit status: 0 done; 1 an API could not be reached, or a chosen job did not move; 2 a key, a file or an option is "
    "not as it has to be. Run again, a command goes on where it was."
)
Exported = Annotated[
    Path, typer.Argument(metavar="FOLDER", help="What `export` has made, or JSON and JSONL saved by hand.")
]


@app.command("export", epilog=STATUSES)
def export(
    to: Annotated[Path, typer.Option("--to", help="Folder for it; what is there already is not fetched again.")],
    from_url: Annotated[
        str, typer.Option(help="An API with OpenAI's fine-tuning routes.")
    ] = "https://api.openai.com/v1",
) -> None:
    """Fetch every fine-tuning job with its events, checkpoints, datasets and result files, as JSON, JSONL and CSV.

    The key is taken from OPENAI_API_KEY; OPENAI_ORG_ID and OPENAI_PROJECT_ID are heeded. An OpenAI key sees one
    project: export each into a folder of its own. What cannot be had any more is listed, and the rest is fetched.

    Example: luthier move-in export --to openai
    """
    with _told():
        from luthier.cli.move_in.export import Export

        with _source(from_url) as source:
            done = Export(source, to, lambda line: typer.echo(line, err=True))
            done.run()
        typer.echo(f"{done.jobs} jobs and {done.files} files in {to}; {done.downloaded} contents fetched now.")
        for line in done.missing:
            typer.echo(f"Not to be had: {line}", err=True)
        typer.echo(f"Next: luthier move-in plan {to}")


@app.command("plan", epilog=STATUSES)
def plan(
    folder: Exported,
    base: Annotated[str | None, typer.Option(help="Open base model; by default the platform's first.")] = None,
) -> None:
    """Show what would become of each job: on which open model, with how many rows, at what price, or why it cannot be.

    Prices are asked for where LUTHIER_BASE_URL and LUTHIER_API_KEY are set; nothing is sent or made.

    Example: luthier move-in plan openai --base llama-3.1-8b
    """
    with _told():
        from luthier.cli.move_in import tables
        from luthier.cli.move_in.folder import read
        from luthier.cli.move_in.plans import plans

        with _platform() if os.environ.get("LUTHIER_BASE_URL") else nullcontext() as platform:
            known = platform.base_models() if platform else []
            tables.show_plans(plans(read(folder)), platform, base or next(iter(known), None))
        if known and not base:
            typer.echo(f"--base chooses another: {', '.join(known)}")
        if not platform:
            typer.echo("For prices and base models set LUTHIER_BASE_URL and LUTHIER_API_KEY.")
        typer.echo(f"Next: luthier move-in run {folder} --all --base {base or 'MODEL'} --deploy")


@app.command("run", epilog=STATUSES)
def run(
    folder: Exported,
    base: Annotated[str, typer.Option(help="Open base model to train on.")],
    job: Annotated[list[str] | None, typer.Option(help="Id of a job to move; may be repeated.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Move every job that can be.")] = False,
    deploy: Annotated[
        bool, typer.Option("--deploy", help="Deploy each model and let it answer under its old name.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before anything is spent.")] = False,
) -> None:
    """Train chosen jobs again on an open model, with the data, suffix, seed and hyperparameters that they had.

    The platform prices every job first, and nothing starts before you agree. With --deploy the old name, ft:gpt-…,
    becomes an alias of the new model, so that code needs another base URL and key only. What was done is kept in
    FOLDER/moved.json: run again, the command goes on, and does nothing twice.

    Example: luthier move-in run openai --job ftjob-abc123 --base llama-3.1-8b --deploy
    """
    with _told():
        if bool(job) == every:
            raise Stop("Which jobs are to be moved?", "Name them with --job ID, or say --all.")
        from luthier.cli.move_in import tables
        from luthier.cli.move_in.folder import read
        from luthier.cli.move_in.moved import Moved
        from luthier.cli.move_in.moves import Mover, chosen
        from luthier.cli.move_in.plans import plans

        found = read(folder)
        planned = plans(found)
        moves = chosen(planned, job or [], deploy=deploy)
        for left in planned if every else ():
            if left.reason:
                typer.echo(f"Not moved: {left.id}: {left.reason}", err=True)
        if not moves:
            raise Stop("None of the jobs can be trained again.", "Mend what is said of them above.")
        with _platform() as platform, closing(Moved(folder, platform.url)) as moved:
            mover = Mover(platform, found, moved, base, tables.tell)
            mover.draw_up(moves)
            tables.show_prices(moves)
            if not yes and any(move.spends for move in moves):
                hourly = " Deployments cost by the hour until they are paused." if deploy else ""
                typer.confirm(f"Start them?{hourly}", abort=True)
            mover.carry_out(moves)
        tables.show_moves(moves)
        if any(move.fault for move in moves):
            raise typer.Exit(stop.UNREACHABLE)


@contextmanager
def _told() -> Iterator[None]:
    """As `stop.told`, and of files that cannot be read or written."""
    with stop.told():
        try:
            yield
        except OSError as error:
            message = f"{error.filename or 'A file'}: {error.strerror or error}."
            raise Stop(message, "Mend that and run the command again: it goes on where it was.") from None


@contextmanager
def _source(url: str) -> "Iterator[Api]":
    from luthier.cli.move_in.asking import Api

    key = os.environ.get("OPENAI_API_KEY")
    if not key:
        raise Stop("OPENAI_API_KEY is not set.", "Set it to a key that may read files and fine-tuning jobs.")
    names = {"OpenAI-Organization": "OPENAI_ORG_ID", "OpenAI-Project": "OPENAI_PROJECT_ID"}
    headers = {header: os.environ[name] for header, name in names.items() if os.environ.get(name)}
    with closing(Api(url, key, "OPENAI_API_KEY", headers)) as api:
        yield api


@contextmanager
def _platform() -> "Iterator[Platform]":
    from luthier.cli.move_in.asking import Api
    from luthier.cli.move_in.platform import Platform

    url, key = (os.environ.get(name) for name in ("LUTHIER_BASE_URL", "LUTHIER_API_KEY"))
    if not url or not key:
        raise Stop("Where to is not known.", "Set LUTHIER_BASE_URL and LUTHIER_API_KEY.")
    with closing(Api(url.rstrip("/").removesuffix("/v1"), key, "LUTHIER_API_KEY")) as api:
        yield Platform(api)
