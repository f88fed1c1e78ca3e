"""Why a command ends early, in a sentence with a remedy, and with which exit status."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer

UNREACHABLE, REFUSED, NO_RUNTIME, PORT_TAKEN = 1, 2, 3, 4
STATUSES = (
    "Exit status: 0 ended by ctrl-C, SIGTERM or the idle timeout; 1 the platform or a package index could not be "
    "reached; 2 the model, a file or an option is not as it has to be; 3 there is no runtime; 4 the port is taken."
)


class Stop(Exception):
    """status: one of those above."""

    def __init__(self, message: str, remedy: str, status: int = REFUSED) -> None:
        super().__init__(message)
        self.remedy = remedy
        self.status = status


@contextmanager
def told() -> Iterator[None]:
    """Say on standard error why a command ends."""
    try:
        yield
    except Stop as stop:
        typer.echo(f"{stop}\n{stop.remedy}", err=True)
        raise typer.Exit(stop.status) from None
