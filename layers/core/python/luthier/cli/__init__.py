"""The command `luthier`. Commands that need AWS say so; nothing of AWS is imported before one runs."""

import typer

from luthier.cli import keys

app = typer.Typer(no_args_is_help=True, help="Fine-tune language models on a platform that you own.")
app.add_typer(keys.app, name="keys")


@app.callback()
def _root() -> None:
    """Fine-tune language models on a platform that you own."""


def main() -> None:
    app()
