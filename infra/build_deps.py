"""Builds the dependency layer for one target without Docker: `python -m infra.build_deps aws|local`.

aws    Linux on arm64, Python 3.13
local  this interpreter on this machine, because the emulator runs functions in child processes of its own Python
"""

import compileall
import hashlib
import platform
import py_compile
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / "layers" / "deps" / "requirements.txt"
BUILD = ROOT / "build" / "deps"
AWS_ARGUMENTS = ("--python-platform", "aarch64-manylinux2014", "--python-version", "3.13")


def folder(target: str) -> Path:
    """Folder of the built layer, which Lambda unpacks under /opt. RuntimeError unless it is up to date."""
    if _stamp(target).exists() and _stamp(target).read_text() == _fingerprint(target):
        return BUILD / target
    raise RuntimeError(
        f"The dependency layer for `{target}` is not built or out of date. Run `python -m infra.build_deps {target}`."
    )


def build(target: str) -> Path:
    """Install the pinned requirements for `target` and return the layer's folder; does nothing when up to date."""
    try:
        return folder(target)
    except RuntimeError:
        shutil.rmtree(BUILD / target, ignore_errors=True)
        _install(target, BUILD / target / "python")
        _stamp(target).write_text(_fingerprint(target))
        return BUILD / target


def _install(target: str, destination: Path) -> None:
    platform_arguments = AWS_ARGUMENTS if target == "aws" else ("--python", sys.executable)
    command = ["uv", "pip", "install", "--quiet", "--only-binary", ":all:", "--require-hashes", "--link-mode", "copy"]
    command += [*platform_arguments, "--target", str(destination), "-r", str(REQUIREMENTS)]
    subprocess.run([_uv(), *command[1:]], check=True)
    shutil.rmtree(destination / "bin", ignore_errors=True)
    if target == "local":
        # Unchecked, because unpacking the layer changes the times that the default kind compares.
        compileall.compile_dir(destination, quiet=2, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)


def _uv() -> str:
    beside_python = Path(sys.executable).parent / "uv"
    found = str(beside_python) if beside_python.exists() else shutil.which("uv")
    if not found:
        raise RuntimeError("uv was not found. Install the Python package uv into this environment.")
    return found


def _fingerprint(target: str) -> str:
    interpreter = "" if target == "aws" else f"{sys.version}{platform.machine()}"
    return hashlib.sha256(REQUIREMENTS.read_bytes() + interpreter.encode()).hexdigest()


def _stamp(target: str) -> Path:
    return BUILD / f"{target}.stamp"


if __name__ == "__main__":
    if sys.argv[1:] not in (["aws"], ["local"]):
        sys.exit("usage: python -m infra.build_deps aws|local")
    print(build(sys.argv[1]))
