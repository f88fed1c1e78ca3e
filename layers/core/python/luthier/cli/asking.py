"""What the commands that ask the platform share: its client, `--json` and `--profile`, and failures in one sentence."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from luthier.cli import stop

AsJson = Annotated[bool, typer.Option("--json", help="Print the API's answer as JSON, and nothing else.")]
Profile = Annotated[
    str | None,
    typer.Option(help="Table of ~/.luthier/config.toml, for what LUTHIER_API_KEY and LUTHIER_BASE_URL leave open."),
]
Wait = Annotated[bool, typer.Option("--wait", help="Until it is done.")]


@dataclass(frozen=True)
class Shown:
    """What a command has to show: `answer` as JSON, or `human`, which rich can print, to people.

    status: how the command ends all the same.
    """

    answer: Any
    human: Any
    status: int = 0


def asking(command: Callable[..., Shown | None]) -> Callable[..., None]:
    """A command out of a function that takes a `Luthier` first and returns what it has to show, if anything.

    It gets the options --json and --profile; the function may have a parameter `as_json` to know the first.
    """
    told = inspect.signature(command)
    _, *own = told.parameters.values()
    has_json = "as_json" in told.parameters

    def run(*, profile: str | None, as_json: bool, **given: Any) -> None:
        from luthier.cli.showing import show
        from luthier.client.errors import WorkFailed

        with stop.told():
            from luthier.client import Luthier

            with Luthier(profile=profile) as client:
                try:
                    shown = command(client, **given, **({"as_json": as_json} if has_json else {}))
                except WorkFailed as failure:
                    if as_json:
                        show(Shown(failure.resource, None), as_json=True)
                    raise
        if shown is not None:
            show(shown, as_json=as_json)
            if shown.status:
                raise typer.Exit(shown.status)

    added = [] if has_json else [_option("as_json", AsJson, False)]
    parameters = [
        parameter.replace(kind=parameter.KEYWORD_ONLY)
        for parameter in (*own, _option("profile", Profile, None), *added)
    ]
    run.__name__, run.__doc__ = command.__name__, command.__doc__
    # What typer reads the options from.
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def _option(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def given(**fields: Any) -> dict[str, Any]:
    """The fields that were said, for a method of the client: an option that is left out is None, or an empty list."""
    return {name: value for name, value in fields.items() if value is not None and value != []}
