"""What every command has in common: help with an example, little to load, and completion."""

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from luthier.cli import app, stop

# What only the work of commands needs. (pydantic is not listed: typer itself reads its options with it.)
HEAVY = {"httpx", "boto3", "botocore", "msgspec", "luthier.client.clients", "luthier.client.answers", "torch"}
CHECK = """
import sys, time
started = time.process_time()
from luthier.cli import app
try:
    app({words})
except SystemExit as end:
    assert end.code == 0, end.code
took = time.process_time() - started
heavy = {heavy} & set(sys.modules)
assert not heavy, heavy
print(took, file=sys.stderr)
"""


def leaves(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    inner = getattr(command, "commands", None)
    if inner is None:
        yield path, command
    else:
        for name, one in inner.items():
            yield from leaves(one, (*path, name))


ROOT: Any = typer.main.get_command(app)
COMMANDS = dict(leaves(ROOT))


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_has_an_example_that_it_understands(path: tuple[str, ...]) -> None:
    command = COMMANDS[path]
    head = f"Example: luthier {' '.join(path)}"
    (example,) = [line.strip() for line in (command.help or "").splitlines() if line.strip().startswith("Example:")]
    assert example == head or example.startswith(f"{head} ")
    words = shlex.split(example.removeprefix(head))
    # Raises where an option is unknown, or something that is needed is missing.
    command.make_context("luthier", words, resilient_parsing=False).close()


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_that_shows_something_prints_json(path: tuple[str, ...]) -> None:
    silent = {("models", "serve"), ("models", "setup-runtime"), ("keys", "revoke"), ("organizations", "limit")}
    silent |= {("move-in", name) for name in ("export", "plan", "run")}
    names = {option for parameter in COMMANDS[path].params for option in parameter.opts}
    assert ("--json" in names) == (path not in silent)


def libraries() -> float:
    """Processor seconds that typer, rich and pydantic take to load."""
    program = "import time; import typer, rich.console, pydantic; print(time.process_time())"
    return float(subprocess.check_output([sys.executable, "-c", program], text=True))


@pytest.mark.parametrize("words", [[], *([name] for name in ROOT.commands)], ids=lambda words: " ".join(words) or "all")
def test_help_loads_little_and_takes_less_than_half_a_second(words: list[str]) -> None:
    """Of the processor, which other programs disturb less than the clock; the best of three."""
    check = CHECK.format(words=[*words, "--help"], heavy=HEAVY)

    def seconds() -> float:
        ran = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
        return float(ran.stderr)

    # A slow machine takes as much longer for the libraries that every command line of this kind loads.
    assert any(seconds() < max(0.5, 3 * libraries()) for _ in range(3))


def test_the_exit_statuses_are_in_the_help() -> None:
    shown = " ".join(CliRunner().invoke(app, ["--help"]).output.split())
    assert stop.STATUSES.split(";")[0] in shown


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_can_complete(shell: str) -> None:
    def ask(**variables: str) -> str:
        run = "import sys; sys.argv[0] = 'luthier'; from luthier.cli import main; main()"
        known = os.environ | {"_LUTHIER_COMPLETE": f"source_{shell}"} | variables
        ran = subprocess.run([sys.executable, "-c", run], capture_output=True, text=True, env=known, check=False)
        return ran.stdout

    assert "_LUTHIER_COMPLETE=complete_" in ask()
    words = {"COMP_WORDS": "luthier jobs wa", "COMP_CWORD": "2", "_TYPER_COMPLETE_ARGS": "luthier jobs wa"}
    fish = {"_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    assert "watch" in ask(_LUTHIER_COMPLETE=f"complete_{shell}", **words, **fish)
