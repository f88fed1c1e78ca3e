"""The command `luthier`. Commands that need AWS say so; nothing of AWS is imported before one runs."""

import typer

from luthier.cli import (
    chat,
    credits,
    datasets,
    deployments,
    doctor,
    events,
    jobs,
    keys,
    models,
    move_in,
    organizations,
    webhooks,
)
from luthier.cli.stop import STATUSES

_ABOUT = "Fine-tune language models on a platform that you own."

app = typer.Typer(no_args_is_help=True, help=_ABOUT, epilog=STATUSES)
app.add_typer(jobs.app, name="jobs")
app.add_typer(datasets.app, name="datasets")
app.add_typer(models.app, name="models")
app.add_typer(deployments.app, name="deployments")
app.command()(chat.chat)
app.add_typer(webhooks.app, name="webhooks")
app.add_typer(events.app, name="events")
app.add_typer(keys.app, name="keys")
app.add_typer(credits.app, name="credits")
app.add_typer(move_in.app, name="move-in")
app.add_typer(organizations.app, name="organizations")
app.command()(doctor.doctor)


@app.callback()
def _root() -> None:
    """Fine-tune language models on a platform that you own."""


def main() -> None:
    app()
