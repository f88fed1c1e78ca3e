"""Talking with a deployed model."""

import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer

from luthier.cli.asking import AsJson, Shown, asking, given
from luthier.cli.stop import Stop

if TYPE_CHECKING:
    from luthier.client import Luthier

Messages = list[dict[str, str]]


@asking
def chat(
    client: "Luthier",
    model: Annotated[str, typer.Argument(help="A deployed model's name, an alias, or a deployment's id.")],
    prompt: Annotated[
        str | None, typer.Argument(help="Ask this and end; what comes through a pipe is asked likewise.")
    ] = None,
    system: Annotated[str | None, typer.Option(help="What stands before the conversation.")] = None,
    temperature: Annotated[float | None, typer.Option(min=0, max=2)] = None,
    max_tokens: Annotated[int | None, typer.Option(min=1)] = None,
    as_json: AsJson = False,
) -> Shown | None:
    """Chat with a deployed model, word by word. Ctrl-C ends an answer, ctrl-D the chat.

    Example: luthier chat llama-3.1-8b-tickets "My order has not arrived."
    """
    asked: dict[str, Any] = {"model": model, **given(temperature=temperature, max_tokens=max_tokens)}
    messages: Messages = [{"role": "system", "content": system}] if system else []
    if prompt is None and not sys.stdin.isatty():
        prompt = sys.stdin.read().strip()
    if prompt is not None:
        if not prompt:
            raise Stop("There is nothing to ask.", "Give a prompt, or nothing to chat.")
        messages.append({"role": "user", "content": prompt})
        if as_json:
            return Shown(client.chat.completions.create(messages=messages, **asked), None)
        _answer(client, messages, asked)
    elif as_json:
        raise Stop("--json is for one answer.", "Give a prompt.")
    else:
        _converse(client, messages, asked)
    return None


def _converse(client: "Luthier", messages: Messages, asked: dict[str, Any]) -> None:
    from luthier.client.errors import ConnectionFailed, RateLimited, ServiceUnavailable

    # Lets `input` have a history and cursor keys; Windows has it by itself.
    with suppress(ImportError):
        import readline  # noqa: F401
    while (said := _heard()) is not None:
        if not said:
            continue
        turn: Messages = [*messages, {"role": "user", "content": said}]
        try:
            messages = [*turn, {"role": "assistant", "content": _answer(client, turn, asked)}]
        except KeyboardInterrupt:
            typer.echo("\n(The answer was ended; it is forgotten.)", err=True)
        except (ConnectionFailed, RateLimited, ServiceUnavailable) as passing:
            typer.echo(f"\n{passing}\n(Ask again.)", err=True)


def _heard() -> str | None:
    """What a person says; None when the chat is over."""
    try:
        return input("> ").strip()
    except (EOFError, KeyboardInterrupt):
        typer.echo()
        return None


def _answer(client: "Luthier", messages: Messages, asked: dict[str, Any]) -> str:
    from luthier.cli.showing import plain

    said = ""
    with client.chat.completions.create(messages=messages, stream=True, **asked) as stream:
        for chunk in stream:
            for choice in chunk.choices:
                part = choice.delta.content or ""
                said += part
                typer.echo(plain(part), nl=False)
                sys.stdout.flush()
    typer.echo()
    return said
