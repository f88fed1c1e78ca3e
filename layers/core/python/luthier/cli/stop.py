"""Why a command ends early, in a sentence with a remedy, and with which exit status."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from luthier.client import LuthierError

UNREACHABLE, REFUSED, ABSENT, KEY, CREDITS, LATER, FAILED, PORT_TAKEN = range(1, 9)
NO_RUNTIME = ABSENT
INTERRUPTED = 130
STATUSES = (
    "Exit status: 0 done; 1 the platform, or what else is needed from the network, could not be reached; 2 an option, "
    "a file or the request is not as it has to be; 3 what was named, or the runtime of `models serve`, is not there; "
    "4 the API key is missing, wrong or may not do this; 5 credits are missing; 6 not now: too many requests, or the "
    "service is busy; 7 the work failed, or ended before it was done; 8 the port is taken; 130 ended by ctrl-C."
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
    from luthier.client import errors

    try:
        yield
    except Stop as stop:
        typer.echo(f"{stop}\n{stop.remedy}", err=True)
        raise typer.Exit(stop.status) from None
    except errors.LuthierError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(status_of(error)) from None
    except BrokenPipeError:
        # Whoever reads has heard enough: typer ends quietly.
        raise
    except OSError as error:
        typer.echo(f"{error.filename or 'A file'}: {error.strerror or error}\nName another, or mend it.", err=True)
        raise typer.Exit(REFUSED) from None


def status_of(error: "LuthierError") -> int:
    """The exit status of a failure of the client."""
    from luthier.client import errors

    if isinstance(error, errors.ConfigurationError):
        return KEY if error.field == "api_key" else REFUSED
    families = {
        (errors.ConnectionFailed, errors.UnexpectedAnswer): UNREACHABLE,
        (errors.NotFound,): ABSENT,
        (errors.AuthenticationError, errors.PermissionDenied): KEY,
        (errors.PaymentRequired,): CREDITS,
        (errors.RateLimited, errors.ServiceUnavailable, errors.WaitTimedOut): LATER,
        (errors.WorkFailed,): FAILED,
    }
    return next((status for kinds, status in families.items() if isinstance(error, kinds)), REFUSED)
