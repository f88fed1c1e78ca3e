"""The process that serves a model: this one from then on, or one beside it that is started again when it has ended.

The command listens before it starts the model's server, which inherits the socket: requests that come while a managed
server is not there wait in the socket's queue, and the next one answers them.
"""

import os
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

import typer

from luthier.cli.stop import PORT_TAKEN, Stop

# How the server ends: by its idle timeout or a signal, because it cannot serve, because it has answered its share.
_IDLE, _CANNOT, WORN = 0, 2, 75
_QUEUE = 128
# A server that dies so often within so many seconds is not started again.
_DEATHS, _WITHIN_SECONDS = 3, 60.0


def listen(host: str, port: int) -> socket.socket:
    """Raises Stop where the port is taken."""
    try:
        return socket.create_server((host, port), backlog=_QUEUE)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
        message = f"Nothing can listen at {host}:{port}: {reason}."
        raise Stop(message, "Choose another --port, or end what listens there.", PORT_TAKEN) from None


def log_to(path: Path) -> None:
    """Write what is said from now on, here and by the server, to a file. Raises Stop."""
    try:
        log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    except OSError as error:
        message = f"The log {path} cannot be written: {error.strerror}."
        raise Stop(message, "Name another file with --log-file, or make its folder.") from None
    os.dup2(log, 1)
    os.dup2(log, 2)


def become(command: list[str], listener: socket.socket) -> NoReturn:
    """Go on as the server: signals reach it as they are, and its exit status is the command's."""
    sys.stdout.flush()
    os.set_inheritable(listener.fileno(), True)
    os.execv(command[0], _inheriting(command, listener))


def manage(command: list[str], listener: socket.socket) -> NoReturn:
    """Keep the server going until a signal ends this process, and the server with it. Raises Stop where it cannot."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end)
    deaths: list[float] = []
    while True:
        status = _served(_inheriting(command, listener), listener.fileno())
        if status == _IDLE:
            typer.echo("The model rests until somebody asks.", err=True)
            select.select([listener], [], [])
        elif status == _CANNOT:
            raise Stop("The model cannot be served.", "See its last lines above.")
        elif status != WORN:
            deaths = [moment for moment in deaths if time.monotonic() - moment < _WITHIN_SECONDS] + [time.monotonic()]
            if len(deaths) >= _DEATHS:
                message = f"The server has died {_DEATHS} times within {_WITHIN_SECONDS:.0f} s, at last with {status}."
                raise Stop(message, "See its last lines above.")
            typer.echo(f"The server has died with the status {status}, and is started again.", err=True)


def _served(command: list[str], listener: int) -> int:
    """The status with which a server has ended. It ends with this process, but for ctrl-C, which is not for it."""
    child = subprocess.Popen(command, pass_fds=[listener], start_new_session=True)
    try:
        return child.wait()
    finally:
        child.terminate()
        child.wait()


def _inheriting(command: list[str], listener: socket.socket) -> list[str]:
    return [*command, "--listener", str(listener.fileno())]


def _end(number: int, frame: Any) -> NoReturn:
    raise SystemExit(0)
