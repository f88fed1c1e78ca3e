"""`python -m infra.local`: start, stop and show the cloud on this machine."""

import argparse
import importlib.util
import os
import signal
import sys
import time
from pathlib import Path

from infra.local import preflight
from infra.local.options import REPOSITORY, Options, trainer_python_from_environment
from infra.local.preflight import Refusal

_STOP_SECONDS = 60.0


def main(arguments: list[str] | None = None) -> int:
    """Run one command; the exit code is 1 when it was refused, with one line on stderr."""
    given = _parser().parse_args(arguments)
    try:
        return int(given.run(_options(given)) or 0)
    except Refusal as refusal:
        print(refusal, file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m infra.local",
        description="The cloud on one machine: the API, its pipelines and SageMaker, with nothing outside it.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, run, text in (
        ("up", up, "start it and keep it running in the foreground"),
        ("demo", demo, "start it, fine-tune the demo model through the API, compare before and after, stop it"),
        ("stop", stop, "stop the one that runs on the state folder"),
        ("status", status, "say whether it runs, and where"),
    ):
        _add_options(commands.add_parser(name, help=text, description=text.capitalize() + ".")).set_defaults(run=run)
    return parser


def _add_options(command: argparse.ArgumentParser) -> argparse.ArgumentParser:
    environment = os.environ.get
    standard = Options()
    add = command.add_argument
    add("--state-dir", type=Path, default=standard.state_dir, help="everything it keeps (default: .luthier)")
    add("--port", type=int, default=int(environment("LUTHIER_PORT", standard.port)),
        help="where the API answers (default: LUTHIER_PORT or 8080)")  # fmt: skip
    add("--aws-port", type=int, default=int(environment("LUTHIER_AWS_PORT", standard.aws_port)),
        help="where the AWS services answer (default: LUTHIER_AWS_PORT or 4566)")  # fmt: skip
    add("--base-model", choices=("demo", "tiny", "none"), default=standard.base_model,
        help="what is put into the base-model bucket (default: demo)")  # fmt: skip
    add("--wait-scale", type=float, default=standard.wait_scale,
        help="factor on the waits of the state machines (default: 0.05)")  # fmt: skip
    add("--hub-url", default="", help="hub that other base models are copied from (default: the template's)")
    add("-c", "--context", action="append", default=[], metavar="KEY=VALUE",
        help="a choice of the stack, as `cdk deploy -c` takes it: billing=on (may be repeated)")  # fmt: skip
    add("--verbose", action="store_true", help="log what the emulator does")
    return command


def _options(given: argparse.Namespace) -> Options:
    return Options(
        state_dir=given.state_dir, port=given.port, aws_port=given.aws_port, base_model=given.base_model,
        trainer_python=trainer_python_from_environment(), wait_scale=given.wait_scale, hub_url=given.hub_url,
        context=tuple(given.context), verbose=given.verbose,
    )  # fmt: skip


def up(options: Options) -> None:
    """Run the cloud in this process, or in the emulator's environment when this is another."""
    if importlib.util.find_spec("ministack") is None:
        _become_cloud_python()
    from infra.local import launcher

    launcher.run(options, say=lambda line: print(line, flush=True))


def _become_cloud_python() -> None:
    python = cloud_python()
    os.execv(python, [str(python), "-m", "infra.local", *sys.argv[1:]])


def cloud_python() -> Path:
    """The interpreter that has the emulator: LUTHIER_CLOUD_PYTHON, or the environment that `make` builds."""
    python = Path(os.environ.get("LUTHIER_CLOUD_PYTHON", REPOSITORY / ".venv-cloud" / "bin" / "python"))
    if not python.exists():
        raise Refusal(f"The local cloud's environment is missing ({python}). Run `make install`.")
    return python


def demo(options: Options) -> int:
    """The main job, start to end, on the demo's model."""
    from infra.local import demo as program

    return program.run(options)


def stop(options: Options) -> None:
    """Ask the running cloud to stop and wait until it has."""
    pid = preflight.running(options)
    if pid is None:
        print(f"No local cloud runs on {options.state_dir}.")
        return
    os.kill(pid, signal.SIGTERM)
    until = time.monotonic() + _STOP_SECONDS
    while preflight.running(options) is not None:
        if time.monotonic() > until:
            raise Refusal(f"The local cloud (process {pid}) did not stop within {_STOP_SECONDS:.0f} s.")
        time.sleep(0.1)
    print("Stopped.")


def status(options: Options) -> int:
    """Exit code 0 while it runs, 3 while it does not."""
    pid = preflight.running(options)
    print(f"Running (process {pid}) on {options.state_dir}." if pid else f"Not running on {options.state_dir}.")
    return 0 if pid else 3
