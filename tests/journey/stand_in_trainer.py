"""What a training container does as SageMaker sees it, without training: for tests of the plug-in alone.

The environment says how it behaves: BEHAVIOUR is completes, fails, hangs, ignores_sigterm or says_credentials.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path


def main(root: Path, behaviour: str) -> int:
    metrics = root / "checkpoints" / "metrics.jsonl"
    before = len(metrics.read_text().splitlines()) if metrics.exists() else 0
    with metrics.open("a") as file:
        file.write(json.dumps({"step": before + 1}) + "\n")
    print(json.dumps({"level": "info", "message": f"step {before + 1}"}), flush=True)
    if behaviour == "fails":
        (root / "output" / "failure").write_text(json.dumps({"code": "bad_dataset", "message": "x" * 2000}))
        return 1
    if behaviour == "ignores_sigterm":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if behaviour in ("hangs", "ignores_sigterm"):
        time.sleep(600)
    seen = sorted(name for name in os.environ if name.startswith("AWS_"))
    (root / "model" / "card.json").write_text(json.dumps({"aws": seen, "inputs": _inputs(root)}))
    return 0


def _inputs(root: Path) -> dict[str, str]:
    data = root / "input" / "data"
    return {path.relative_to(data).as_posix(): path.read_text() for path in data.rglob("*") if path.is_file()}


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[sys.argv.index("--root") + 1]), os.environ["BEHAVIOUR"]))
