"""The environment that models are served in: the trainer's pinned packages, in a folder that is kept."""

import hashlib
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import typer

from luthier.cli.stop import UNREACHABLE, Stop

STAMP = ".luthier-runtime"


def home() -> Path:
    """Where the command keeps what it has fetched: $LUTHIER_HOME, or ~/.luthier."""
    return Path(os.environ.get("LUTHIER_HOME") or Path.home() / ".luthier")


class Runtime:
    """A virtual environment in $LUTHIER_RUNTIME, or in `runtime` of the home folder."""

    def __init__(self) -> None:
        self.folder = Path(os.environ.get("LUTHIER_RUNTIME") or home() / "runtime").absolute()
        self.python = self.folder / "bin" / "python"

    @property
    def ready(self) -> bool:
        """Whether it was set up to its end, for the packages and the code of this version."""
        try:
            return self.python.exists() and (self.folder / STAMP).read_text() == stamp()
        except FileNotFoundError:
            return False

    def set_up(self) -> None:
        """Make it, or finish it. Raises Stop where a package cannot be installed; what is installed stays."""
        typer.echo(f"1/3 A virtual environment in {self.folder}")
        if not self.python.exists():
            self._run([sys.executable, "-m", "venv", str(self.folder)])
        typer.echo("2/3 PyTorch, transformers and what they need: a few minutes the first time")
        pip = [str(self.python), "-m", "pip", "install", "--disable-pip-version-check", "--progress-bar", "on"]
        self._run([*pip, "--requirement", str(_requirements())])
        typer.echo("3/3 The model server")
        # Behind the environment's own packages: its pins hold.
        self._site_packages().joinpath("luthier.pth").write_text(_sources())
        draft = self.folder / f"{STAMP}.draft"
        draft.write_text(stamp())
        os.replace(draft, self.folder / STAMP)

    def _site_packages(self) -> Path:
        return next(self.folder.glob("lib/python*/site-packages"))

    def _run(self, command: list[str]) -> None:
        status = subprocess.run(command, check=False).returncode
        if status:
            raise Stop(
                f"{command[2]} ended with status {status}: {' '.join(command)}",
                "See its last lines above, and run the command again: what is installed already stays. Where packages "
                "come from is pip's own setting, as PIP_INDEX_URL or PIP_FIND_LINKS.",
                UNREACHABLE,
            )


def stamp() -> str:
    """What a runtime was made of: the pins, and where the code lies."""
    return hashlib.sha256(_requirements().read_bytes() + _sources().encode()).hexdigest()


def _sources() -> str:
    """The folders of the server and of the domain it reads, one per line."""
    return f"{_trainer().parent}\n{Path(__file__).resolve().parents[2]}\n"


def _requirements() -> Path:
    """Beside the package in the repository, inside it in a wheel."""
    package = _trainer()
    return next(path for path in (package.parent, package) if (path / "requirements.txt").exists()) / "requirements.txt"


def _trainer() -> Path:
    found = importlib.util.find_spec("trainer")
    if found is None or found.origin is None:
        raise Stop("This installation of Luthier comes without its model server.", "Install Luthier from its wheel.")
    return Path(found.origin).resolve().parent
