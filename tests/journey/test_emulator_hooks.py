"""The hooks lean on the emulator's internals; this tells which ones moved when its version changes."""

import json
import os
import re
import subprocess
from pathlib import Path

from infra.local.cli import cloud_python
from infra.local.options import REPOSITORY
from tests.journey.local_cloud import ENVIRONMENT

PROGRAM = Path(__file__).with_name("emulator_internals.py")
REQUIREMENTS = REPOSITORY / "infra" / "local" / "requirements.in"


def test_the_emulator_has_everything_that_the_hooks_lean_on(tmp_path: Path) -> None:
    python = ENVIRONMENT.get("LUTHIER_CLOUD_PYTHON") or str(cloud_python())
    environment = {**os.environ, "STATE_DIR": str(tmp_path), "S3_DATA_DIR": str(tmp_path)}

    done = subprocess.run([python, str(PROGRAM)], env=environment, capture_output=True, text=True, check=True)

    found = json.loads(done.stdout.splitlines()[-1])
    pinned = re.search(r"^ministack==(.+)$", REQUIREMENTS.read_text(encoding="utf-8"), re.MULTILINE)
    assert pinned is not None
    assert found == {"version": pinned.group(1), "moved": []}


def test_both_lists_of_the_cloud_environment_agree() -> None:
    lock = (REQUIREMENTS.parent / "requirements.lock").read_text(encoding="utf-8")

    assert all(f"{line} \\" in lock for line in REQUIREMENTS.read_text(encoding="utf-8").split())
    assert "http" not in lock.replace("httpx", "")
