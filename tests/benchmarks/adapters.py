"""Adding an adapter to a running server against starting a server of its own; memory per adapter.

    OMP_NUM_THREADS=2 .venv-trainer/bin/python -m tests.benchmarks.adapters [--count 100] [--base FOLDER]

Without --base it is the tiny model of the tests. Needs the trainer's environment.
"""

import argparse
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from demo import tiny_model
from tests.container.test_serve import Endpoint
from tests.container.test_serve_adapters import write_adapter

_STARTS = 3


class Server(Endpoint):
    """A server in a process of its own, started as SageMaker's stand-in starts it."""

    def __init__(self, root: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        command = [sys.executable, "-m", "trainer.serve", "--root", str(root), "--port", str(self.port)]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while not self._answers():
            time.sleep(0.02)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100, help="adapters on one server")
    parser.add_argument("--base", type=Path, help="folder of a base model")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        base = given.base or _tiny(folder / "tiny")
        adapters = [write_adapter(base, folder / "adapters" / str(seed), seed) for seed in range(given.count)]
        _measure(base, adapters, folder)


def _tiny(folder: Path) -> Path:
    tiny_model.build(folder)
    return folder


def _measure(base: Path, adapters: list[Path], folder: Path) -> None:
    starts = []
    for number in range(_STARTS):
        root = folder / f"server-{number}"
        root.mkdir()
        (root / "model").symlink_to(base)
        began = time.monotonic()
        endpoint = Server(root)
        starts.append(time.monotonic() - began)
        if number < _STARTS - 1:
            endpoint.process.kill()
    assert endpoint.ask(None)[0] == 200
    empty = _resident(endpoint)
    seconds = []
    for number, adapter in enumerate(adapters):
        began = time.monotonic()
        assert endpoint.add(f"a{number}", adapter)[0] == 200
        seconds.append(time.monotonic() - began)
    full = _resident(endpoint)
    size = (adapters[0] / "adapter_model.safetensors").stat().st_size
    start, added = statistics.median(starts), [1000 * took for took in seconds]
    quarter = max(1, len(added) // 4)
    print(f"start of a process: {start:.2f} s")
    print(
        f"adding an adapter: {statistics.median(added):.0f} ms ({statistics.median(seconds) / start:.1%} of a start); "
        f"first quarter {statistics.median(added[:quarter]):.0f} ms, last {statistics.median(added[-quarter:]):.0f} ms"
    )
    print(
        f"memory: {empty / 2**20:.0f} MiB before, {full / 2**20:.0f} MiB with {len(adapters)} adapters: "
        f"{(full - empty) / len(adapters) / 2**10:.0f} KiB each (weights {size / 2**10:.0f} KiB)"
    )
    endpoint.process.kill()


def _resident(endpoint: Server) -> int:
    """Bytes of memory that the server holds."""
    status = Path(f"/proc/{endpoint.process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024


if __name__ == "__main__":
    main()
