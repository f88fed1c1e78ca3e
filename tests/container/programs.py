"""Starts the container's programs as processes of their own, without paying for their imports each time.

A fork server imports PyTorch and the recipe once; every program is a fork of it, so it can be killed like any other.
"""

import json
import multiprocessing
import os
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

# A process that has used CUDA cannot be forked.
_context: Any = multiprocessing.get_context("spawn" if torch.cuda.is_available() else "forkserver")
multiprocessing.get_context("forkserver").set_forkserver_preload(
    [
        *("trainer.recipes.sft", "trainer.recipes.dpo", "trainer.recipes.kto", "trainer.recipes.orpo"),
        *("trainer.serve", "trainer.generation", "trainer.evaluation.comparison", "trainer.exports", "peft"),
    ]
)


@dataclass
class Program:
    """A started program. `lines` are the JSON lines it has written to standard output."""

    process: Any
    output: Path

    @property
    def lines(self) -> list[dict[str, Any]]:
        complete = self.output.read_text().rpartition("\n")[0]
        return [json.loads(line) for line in complete.splitlines()]

    @property
    def exit_code(self) -> int:
        """Waits for the end; negative is the number of the signal that killed it."""
        self.process.join(120)
        assert self.process.exitcode is not None, "the program does not end"
        return self.process.exitcode

    def wait_for(self, seen: Callable[[], Any], seconds: float = 60) -> None:
        """Until `seen` is true; fails when the program ends before that."""
        end = time.monotonic() + seconds
        while not seen():
            assert self.process.is_alive(), f"ended early: {self.output.read_text()}"
            assert time.monotonic() < end, f"not seen in {seconds} s: {self.output.read_text()}"
            time.sleep(0.005)

    def kill(self) -> None:
        if self.process.is_alive():
            os.kill(self.process.pid, signal.SIGKILL)
        self.process.join(10)

    def terminate(self) -> None:
        os.kill(self.process.pid, signal.SIGTERM)


def start(module: str, *arguments: object, max_file_bytes: int | None = None) -> Program:
    """Run `python -m <module> <arguments>`; no file it writes may grow beyond `max_file_bytes`."""
    handle, output = tempfile.mkstemp(prefix="program-", suffix=".log")
    os.close(handle)
    names = [str(argument) for argument in arguments]
    process = _context.Process(target=_main, args=(module, names, output, max_file_bytes), daemon=True)
    process.start()
    return Program(process, Path(output))


def run(module: str, *arguments: object, max_file_bytes: int | None = None) -> Program:
    """The same, to its end."""
    program = start(module, *arguments, max_file_bytes=max_file_bytes)
    program.process.join(120)
    return program


def _main(module: str, arguments: list[str], output: str, max_file_bytes: int | None) -> None:
    import importlib

    sys.stdout = open(output, "w", buffering=1)  # noqa: SIM115  # open until the process ends
    sys.argv = [module, *arguments]
    if max_file_bytes is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (max_file_bytes, max_file_bytes))
    sys.exit(importlib.import_module(module).main())
