"""`luthier chat` with a deployed model that repeats what it is asked."""

import builtins
import io
import json
import sys
from collections.abc import Callable, Iterator

import pytest

from luthier.cli import chat
from tests.factories import principal
from tests.functional.cli.terminal import Terminal


@pytest.fixture
def model(terminal: Terminal) -> str:
    job = terminal.platform.completed(suffix="v1")
    return terminal.platform.deployed(principal(), job.result_model or "").model_name


def person(monkeypatch: pytest.MonkeyPatch, *said: str | type[BaseException] | Callable[[], str]) -> None:
    """Somebody at the keyboard, who ends with ctrl-D."""
    turns: Iterator[str | type[BaseException] | Callable[[], str]] = iter([*said, EOFError])

    def heard(_: str) -> str:
        turn = next(turns)
        if isinstance(turn, type):
            raise turn
        return turn if isinstance(turn, str) else turn()

    class Keyboard(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(builtins, "input", heard)
    monkeypatch.setattr(chat, "sys", type("Here", (), {"stdin": Keyboard(), "stdout": sys.stdout}))


def test_one_answer_comes_for_a_prompt_or_what_is_piped(terminal: Terminal, model: str) -> None:
    assert terminal.shown("chat", model, "Tell me more", "--system", "Be brief.") == "Tell me more\n"
    asked = terminal.platform.runtime.asked[-1]
    assert [message["role"] for message in asked["messages"]] == ["system", "user"]
    assert terminal.shown("chat", model, "--max-tokens", 5, stdin="From a pipe\n") == "From a pipe\n"
    assert terminal.platform.runtime.asked[-1]["max_tokens"] == 5
    answer = terminal.json("chat", model, "Tell me more")
    assert answer["choices"][0]["message"]["content"] == "Tell me more"
    assert answer["object"] == "chat.completion"


def test_a_conversation_is_remembered_until_ctrl_d(
    terminal: Terminal, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    person(monkeypatch, "one", "", "two")
    assert terminal.shown("chat", model).splitlines() == ["one", "two", ""]
    assert [message["content"] for message in terminal.platform.runtime.asked[-1]["messages"]] == ["one", "one", "two"]


def test_an_answer_that_breaks_off_is_forgotten_and_the_chat_goes_on(
    terminal: Terminal, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = terminal.platform.runtime

    def mended() -> str:
        runtime.broken = None
        return "again"

    runtime.broken = OSError("connection reset")
    person(monkeypatch, "one two three four", mended)
    ended = terminal.run("chat", model)
    assert ended.exit_code == 0
    assert "(Ask again.)" in ended.stderr
    assert [message["content"] for message in runtime.asked[-1]["messages"]] == ["again"]


def test_what_a_model_says_cannot_steer_the_terminal(terminal: Terminal, model: str) -> None:
    assert terminal.shown("chat", model, "\x1b[31mred\n\tindented") == "[31mred\n\tindented\n"


def test_a_chat_that_cannot_be_ends_with_a_reason(
    terminal: Terminal, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "model_none" in terminal.refused(3, "chat", "model_none", "Hi")
    assert "nothing to ask" in terminal.refused(2, "chat", model, stdin="")
    person(monkeypatch)
    assert "--json is for one answer" in terminal.refused(2, "chat", model, "--json")
    terminal.platform.runtime.broken = OSError("connection reset")
    ended = terminal.run("chat", model, "one two three four")
    assert ended.exit_code == 6
    assert "model_failed" in ended.stderr
    assert json.dumps(ended.stdout).startswith('"one two ')
