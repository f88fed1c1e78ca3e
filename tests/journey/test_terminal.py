"""What the terminal says when the cloud cannot start: one line, exit code 1."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from infra.local import preflight
from infra.local.options import REPOSITORY, Options
from infra.local.sagemaker.child import Child
from tests.journey.local_cloud import ENVIRONMENT, LocalCloud, wait_for


def _run(cloud: LocalCloud, command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        cloud.command(command), cwd=REPOSITORY, env={**ENVIRONMENT, **environment}, capture_output=True, text=True,
        check=False, timeout=30,
    )  # fmt: skip


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    cloud = LocalCloud(tmp_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", cloud.port))
        taken.listen()
        done = _run(cloud, "up")

    assert done.returncode == 1
    assert done.stderr.strip() == (
        f"Port {cloud.port} cannot be used: Address already in use. Choose another with --port or LUTHIER_PORT."
    )


def test_a_missing_trainer_environment_is_named(tmp_path: Path) -> None:
    done = _run(LocalCloud(tmp_path), "up", LUTHIER_TRAINER_PYTHON=str(tmp_path / "none"))

    assert done.returncode == 1
    assert done.stderr.startswith(f"The trainer's environment is missing ({tmp_path / 'none'}).")
    assert len(done.stderr.splitlines()) == 1


def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "_FREE_BYTES", 1 << 62)

    with pytest.raises(preflight.Refusal, match=r"nearly full .* Free some space\.$"):
        preflight.check(Options(state_dir=tmp_path))


def test_a_second_cloud_on_one_state_folder_is_refused(cloud: LocalCloud) -> None:
    done = _run(cloud, "up")

    assert done.returncode == 1
    assert done.stderr.startswith(f"A local cloud already runs on {cloud.state_dir} (process {cloud.pid}).")
    assert _run(cloud, "status").returncode == 0


def test_nothing_to_stop_is_no_error(tmp_path: Path) -> None:
    done = _run(LocalCloud(tmp_path), "stop")

    assert (done.returncode, done.stdout.strip()) == (0, f"No local cloud runs on {tmp_path}.")
    assert _run(LocalCloud(tmp_path), "status").returncode == 3


def test_a_child_dies_with_its_parent(tmp_path: Path) -> None:
    program = (
        "import sys, time, pathlib; from infra.local.sagemaker.child import Child;"
        "child = Child(['sleep', '60'], None, pathlib.Path('.'), print); print(child.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = Path(f"/proc/{parent.stdout.readline().strip()}")
        assert child.exists()
        parent.kill()

    wait_for(lambda: not child.exists() or " Z " in (child / "stat").read_text(), 3, "the child is gone")


def test_a_child_reports_its_lines_and_its_exit_code(tmp_path: Path) -> None:
    lines: list[str] = []

    child = Child(["sh", "-c", "echo one; echo two >&2; exit 3"], None, tmp_path, lines.append)

    assert child.wait(5) == 3
    child.drain()
    assert lines == ["one", "two"]
