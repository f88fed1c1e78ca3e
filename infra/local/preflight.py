"""What must hold before the cloud starts; each refusal is one line that says what to do."""

import fcntl
import os
import shutil
import socket
import subprocess
from pathlib import Path
from typing import TextIO

from infra.local.options import REPOSITORY, Options

# One base model, its cached copy, its checkpoints and the snapshot fit into this.
_FREE_BYTES = 2 * 1024**3
CDK = REPOSITORY / "infra" / "node_modules" / ".bin" / "cdk"
PLATFORM_PYTHON = REPOSITORY / ".venv" / "bin" / "python"


class Refusal(Exception):
    """The cloud cannot run; the message is the one line for the terminal."""


def check(options: Options) -> None:
    """Raise Refusal for the first thing that is missing."""
    options.state_dir.mkdir(parents=True, exist_ok=True)
    _check_disk(options.state_dir)
    for port, flag in ((options.port, "--port or LUTHIER_PORT"), (options.aws_port, "--aws-port")):
        _check_port(port, flag)
    if not PLATFORM_PYTHON.exists():
        raise Refusal(f"The platform's environment is missing ({PLATFORM_PYTHON}). Run `make install`.")
    if not options.trainer_python.exists():
        raise Refusal(
            f"The trainer's environment is missing ({options.trainer_python}). "
            "Run `make install`, or set LUTHIER_TRAINER_PYTHON."
        )
    if not CDK.exists():
        raise Refusal(f"The CDK command line is missing ({CDK}). Run `make install`.")
    node()


def _check_disk(folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if free < _FREE_BYTES:
        gib = free / 1024**3
        raise Refusal(f"The disk of {folder} is nearly full ({gib:.1f} GiB free, 2 needed). Free some space.")


def _check_port(port: int, flag: str) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise Refusal(f"Port {port} cannot be used: {error.strerror}. Choose another with {flag}.") from error


def node() -> Path:
    """The Node.js that runs the CDK command line."""
    command = [str(PLATFORM_PYTHON), "-m", "infra.node"]
    found = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if found.returncode:
        raise Refusal(found.stderr.strip().splitlines()[-1])
    return Path(found.stdout.strip())


def take_lock(options: Options) -> TextIO:
    """Hold the state folder for this process. Keep the file open as long as the cloud runs."""
    options.state_dir.mkdir(parents=True, exist_ok=True)
    file = lock_path(options).open("a+", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise Refusal(
            f"A local cloud already runs on {options.state_dir} (process {running(options)}). "
            "Stop it with `python -m infra.local stop`, or use another --state-dir."
        ) from error
    file.seek(0)
    file.truncate()
    file.write(f"{os.getpid()}\n")
    file.flush()
    return file


def lock_path(options: Options) -> Path:
    return options.state_dir / "lock"


def running(options: Options) -> int | None:
    """The process that holds the state folder, None when none does."""
    try:
        with lock_path(options).open(encoding="utf-8") as file:
            pid = int(file.read().strip() or 0)
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return pid
    except (OSError, ValueError):
        return None
    return None
