"""One life of the local cloud: start, deploy, recover, serve, stop."""

import asyncio
import contextlib
import errno
import logging
import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

import boto3

from infra.dashboard import FOLDER as DASHBOARD
from infra.local import deploy, emulator, preflight, seed, streaming_functions
from infra.local.commands import Commands
from infra.local.front_door import FrontDoor
from infra.local.options import REGION, Options
from infra.local.pages import Pages
from infra.local.sagemaker.plant import Plant
from infra.local.sagemaker.service import SageMaker
from infra.local.sagemaker.store import Store
from infra.local.snapshots import RARELY_CHANGED, Snapshots

log = logging.getLogger("luthier.launcher")
# Interrupted jobs get this long to write a checkpoint, their executions as long again to settle.
_SAVING_SECONDS = 20.0
_SETTLING_SECONDS = 15.0
# Of one function; a request waits most of its time for others.
_WORKERS_PER_CORE = 4
_SWEEPER = "functions.events.sweep_stuck_jobs.handler"
Say = Callable[[str], None]


def run(options: Options, say: Say = print) -> None:
    """Run until SIGINT or SIGTERM. Raises Refusal when the cloud cannot start."""
    lock = preflight.take_lock(options)
    with contextlib.closing(lock):
        preflight.check(options)
        shutil.rmtree(options.temporary, ignore_errors=True)
        emulator.configure(options)
        _log_to_file(options)
        asyncio.run(Launcher(options, say).live())


class Launcher:
    """Wires emulator, plug-in, snapshots and front door together."""

    def __init__(self, options: Options, say: Say) -> None:
        self._options = options
        self._say = say
        app = emulator.emulator_app()
        store = Store()
        self._plant = Plant(options, store)
        self._sagemaker = SageMaker(self._plant)
        self._sagemaker.install()
        emulator.know_account_in_conditions()
        emulator.add_archives()
        emulator.authorize_batches_as_singles()
        emulator.name_deleted_alarms()
        emulator.name_function_errors()
        emulator.bound_functions(_WORKERS_PER_CORE * (os.cpu_count() or 1))
        emulator.shield_functions_from_terminal()
        self._snapshots = Snapshots(
            options.snapshot,
            options.aws_port,
            lambda: {**app._build_persistence_save_dict(), "sagemaker": store.state},
        )
        emulator.use_snapshots(self._snapshots.load, self._snapshots.save)
        for name in RARELY_CHANGED:
            emulator.watch_service(name, self._snapshots.touch_service)
        store.restore(self._snapshots.load("sagemaker"))
        self._door = FrontDoor(app.app, options.port, self._snapshots.touch, Pages(DASHBOARD))
        self._commands = Commands()
        self._stop = asyncio.Event()

    async def live(self) -> None:
        """Start everything, wait for a signal, end everything."""
        ready, closing = asyncio.Event(), asyncio.Event()
        self._catch_signals()
        ports = [self._options.aws_port, self._options.port]
        server = asyncio.create_task(emulator.serve(self._door, ports, closing, ready))
        await ready.wait()
        saver = asyncio.create_task(self._snapshots.keep_saving())
        start = asyncio.create_task(asyncio.to_thread(self._start))
        stopped = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait({start, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if start.done():
                start.result()
                self._snapshots.save()
                await stopped
        finally:
            await asyncio.to_thread(self._close)
            # Its refusal was raised above, or it was cut short on request.
            await asyncio.gather(start, return_exceptions=True)
            saver.cancel()
            closing.set()
            await server
            emulator.end_functions()

    def _catch_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._on_signal)

    def _on_signal(self) -> None:
        if self._stop.is_set():
            self._say("Stopping at once.")
            self._plant.kill()
            os._exit(130)
        self._say("Stopping; once more to stop at once.")
        self._stop.set()

    def _client(self, service: str) -> Any:
        return boto3.client(service, endpoint_url=self._options.aws_url, region_name=REGION)

    def _start(self) -> None:
        began = time.monotonic()
        self._sagemaker.recover()
        outputs = deploy.deploy(self._options, self._client, self._commands, self._say)
        bucket, table = outputs["BaseModelsBucketName"], outputs["TableName"]
        model = seed.stage_base_model(self._options, self._client, bucket, self._commands, self._say)
        key = seed.api_key(self._options, self._client, table, self._commands)
        self._sweep()
        streams = streaming_functions.start(self._plant, self._client)
        self._door.open(*_api_address(outputs["ApiUrl"]), {path: row.address for path, row in streams.items()})
        seed.write_env(self._options.env_file, self._environment(outputs, key))
        self._announce(key, model, time.monotonic() - began)

    def _sweep(self) -> None:
        """Settle what the last life left half done, without waiting for the sweeper's schedule."""
        functions = self._client("lambda")
        for page in functions.get_paginator("list_functions").paginate():
            for function in page["Functions"]:
                if function["Handler"] == _SWEEPER:
                    functions.invoke(FunctionName=function["FunctionName"], Payload=b"{}")

    def _environment(self, outputs: dict[str, str], key: str) -> dict[str, str]:
        return {
            "LUTHIER_BASE_URL": self._options.base_url,
            "LUTHIER_API_KEY": key,
            **self._options.aws_environment(),
            "LUTHIER_TABLE": outputs["TableName"],
            "LUTHIER_DATA_BUCKET": outputs["DataBucketName"],
            "LUTHIER_BASE_MODELS_BUCKET": outputs["BaseModelsBucketName"],
            "LUTHIER_ARTIFACTS_BUCKET": outputs["ArtifactsBucketName"],
            "LUTHIER_EVENT_BUS": outputs["EventBusName"],
        }

    def _announce(self, key: str, model: str | None, seconds: float) -> None:
        self._say(f"Ready after {seconds:.0f} s.")
        self._say(f"  base URL    {self._options.base_url}")
        if (DASHBOARD / "index.html").exists():
            self._say(f"  dashboard   {self._options.base_url}/ in a browser, with this key:")
        self._say(f"  API key     {key}")
        if model:
            self._say(f"  base model  {model}")
        self._say(f"  settings    {self._options.env_file}")
        self._say(f"  log         {self._options.log}")
        self._say("Ctrl-C stops it; what it holds is kept.")

    def _close(self) -> None:
        self._commands.cancel()
        self._plant.close(_SAVING_SECONDS)
        until = time.monotonic() + _SETTLING_SECONDS
        while emulator.running_executions() and time.monotonic() < until:
            time.sleep(0.1)


def _api_address(url: str) -> tuple[str, str]:
    match = re.match(r"https?://([^./]+)[^/]*/([^/]+)", url)
    if match is None:
        raise preflight.Refusal(f"The deployed API's address cannot be read: {url}")
    return match.group(1), match.group(2)


def _log_to_file(options: Options) -> None:
    logging.basicConfig(
        filename=options.log, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", force=True
    )
    emulator.quiet_libraries(options.verbose)
    if options.verbose:
        logging.getLogger("luthier").setLevel(logging.DEBUG)
    terminal = logging.StreamHandler(sys.stderr)
    terminal.addFilter(_only_full_disk)
    logging.getLogger().addHandler(terminal)


def _only_full_disk(record: logging.LogRecord) -> bool:
    """The one thing in the log that the person at the terminal has to act on."""
    return os.strerror(errno.ENOSPC) in record.getMessage()
