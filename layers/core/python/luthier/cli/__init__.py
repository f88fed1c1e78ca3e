"""The command `luthier`. Commands that need AWS say so; nothing of AWS is imported before one runs."""

import typer

from luthier.cli import credits, keys, models, move_in, organizations

app = typer.Typer(no_args_is_help=True, help="Fine-tune language models on a platform that you own.")
app.add_typer(keys.app, name="keys")
app.add_typer(credits.app, name="credits")
app.add_typer(models.app, name="models")
app.add_typer(move_in.app, name="move-in")
app.add_typer(organizations.app, name="organizations")


@app.callback()
def _root() -> None:
    """Fine-tune language models on a platform that you own."""


def main() -> None:
    app()
