"""Several processes as one run: one per GPU, on every host that SageMaker names.

`launch` is the parent's part: it starts torchrun and passes a stop on to the workers. The rest is the workers' part,
and means nothing to a process that runs alone.
"""

import contextlib
import ctypes
import glob
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainer import files
from trainer.folders import Folders
from trainer.interruption import Interruption

# A host without GPUs runs one process, or as many as this says.
PROCESSES_VARIABLE = "LUTHIER_PROCESSES_PER_HOST"
_PORT = 29_500
_BYTES_AT_ONCE = 2**26
_WORKER_VARIABLE = "LUTHIER_WORKER"
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Plan:
    """`hosts` in SageMaker's order (the first one leads), which of them this is, and how many processes each runs."""

    hosts: tuple[str, ...]
    current: str
    processes: int

    @property
    def is_alone(self) -> bool:
        return len(self.hosts) == 1 and self.processes == 1

    @property
    def torchrun(self) -> list[str]:
        """torchrun's arguments. One host needs no fixed port, so runs beside each other do not collide."""
        shape = [f"--nnodes={len(self.hosts)}", f"--nproc-per-node={self.processes}", "--max-restarts=0"]
        if len(self.hosts) == 1:
            return [*shape, "--standalone"]
        place = [f"--master-addr={self.hosts[0]}", f"--master-port={_PORT}"]
        return [*shape, f"--node-rank={self.hosts.index(self.current)}", *place]


def plan(folders: Folders) -> Plan:
    """Read from resourceconfig.json (https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-algo-running-container.html)."""
    processes = int(os.environ.get(PROCESSES_VARIABLE) or 0) or max(1, gpus_here())
    try:
        resources = json.loads(folders.resources.read_text(encoding="utf-8"))
        return Plan(tuple(resources["hosts"]), resources["current_host"], processes)
    except (OSError, ValueError, KeyError):
        return Plan(("localhost",), "localhost", processes)


def gpus_here() -> int:
    """GPUs that this machine gives to the run."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([name for name in visible.split(",") if name.strip()])
    # Asking PyTorch would import it, which the parent has no use for.
    return len(glob.glob("/dev/nvidia[0-9]*"))


def is_worker() -> bool:
    return _WORKER_VARIABLE in os.environ


def launch(plan: Plan, folders: Folders, arguments: Sequence[str], interruption: Interruption) -> int:
    """Run the workers to their end; their exit code: 0, or another where one of them failed."""
    shutil.rmtree(_meeting(folders), ignore_errors=True)
    command = [sys.executable, "-m", "torch.distributed.run", *plan.torchrun, "-m", "trainer.train", *arguments]
    environment = os.environ | {_WORKER_VARIABLE: "1"}
    environment.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // plan.processes)))
    # A group of its own: a stop that is sent to the whole group reaches the workers through `pass_on` alone.
    torchrun = subprocess.Popen(command, env=environment, start_new_session=True, preexec_fn=_die_with_parent)
    # torchrun kills its workers 30 seconds after a signal; they need all the time that SageMaker grants, so they are
    # told themselves, and torchrun ends after them.
    interruption.pass_on(lambda: _tell_workers(folders))
    return torchrun.wait()


def _tell_workers(folders: Folders) -> None:
    _meeting(folders).mkdir(exist_ok=True)
    (_meeting(folders) / "stop").touch()
    for path in _meeting(folders).glob("*.pid"):
        with contextlib.suppress(OSError, ValueError):
            os.kill(int(path.read_text()), signal.SIGTERM)


def enter(folders: Folders, interruption: Interruption) -> None:
    """A worker says where it can be reached, and hears what was said before it came."""
    _die_with_parent()
    _meeting(folders).mkdir(exist_ok=True)
    files.write_text(_meeting(folders) / f"{os.environ['RANK']}.pid", str(os.getpid()))
    if (_meeting(folders) / "stop").exists():
        interruption.ask()


def connect() -> None:
    """Join the other workers. Imports PyTorch."""
    import torch.distributed as dist

    dist.init_process_group("cpu:gloo,cuda:nccl" if gpus_here() else "gloo")


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _meeting(folders: Folders) -> Path:
    return folders.root / "workers"


def world_size() -> int:
    return int(os.environ.get("WORLD_SIZE", 1)) if is_worker() else 1


def local_rank() -> int:
    return int(os.environ.get("LOCAL_RANK", 0)) if is_worker() else 0


def processes_here() -> int:
    return int(os.environ.get("LOCAL_WORLD_SIZE", 1)) if is_worker() else 1


def is_first() -> bool:
    """Whether this process speaks for the run: logs, metrics, model, failure."""
    return not is_worker() or os.environ.get("RANK") == "0"


def word_of_first(word: Any) -> Any:
    """What the first process says, on all of them: clocks and signals differ, the run has to act as one."""
    if world_size() == 1:
        return word
    import torch.distributed as dist

    said = [word]
    dist.broadcast_object_list(said, src=0)
    return said[0]


def keep_as_first(folders: Iterable[Path]) -> None:
    """Remove from a host's own disk those `folders` that the first process has none of that name of."""
    if not _several_hosts():
        return
    here = {folder.name: folder for folder in folders}
    kept = word_of_first(set(here))
    if local_rank() == 0:
        for name in here.keys() - kept:
            shutil.rmtree(here[name], ignore_errors=True)


def share(folder: Path) -> None:
    """Give every host the files that the first process has in `folder`, where they are missing or of another size.

    Raises OSError.
    """
    if not _several_hosts():
        return
    sizes = word_of_first(_sizes(folder))
    here = _sizes(folder)
    lacking = {name for name, size in sizes.items() if here.get(name) != size}
    for name in sorted(set().union(*_words_of_all(lacking))):
        path = folder / name
        with contextlib.ExitStack() as stack:
            source = stack.enter_context(path.open("rb")) if is_first() else None
            target = None
            if local_rank() == 0 and name in lacking:
                path.parent.mkdir(parents=True, exist_ok=True)
                target = stack.enter_context(path.open("wb"))
            for _ in range(0, sizes[name], _BYTES_AT_ONCE):
                part = word_of_first(source.read(_BYTES_AT_ONCE) if source else None)
                if target:
                    target.write(part)
    wait()


def _sizes(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_size for path in folder.rglob("*") if path.is_file()}


def _several_hosts() -> bool:
    return world_size() > processes_here()


def _words_of_all(word: Any) -> list[Any]:
    import torch.distributed as dist

    said: list[Any] = [None] * world_size()
    dist.all_gather_object(said, word)
    return said


def worst(failed: bool) -> bool:
    """Whether any process failed."""
    return any(_words_of_all(failed)) if world_size() > 1 else failed


def wait() -> None:
    """Until every process has come here."""
    if world_size() > 1:
        import torch.distributed as dist

        dist.barrier()
