"""The template, deployed to the emulator by the CDK command line; skipped when nothing changed since the last time."""

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from infra.local.commands import Commands
from infra.local.options import ACCOUNT, REGION, REPOSITORY, Options
from infra.local.preflight import CDK, PLATFORM_PYTHON, Refusal, node

STACK = "Luthier"
_FINGERPRINT = "/luthier/local/deployed"
# Where the CDK keeps assets; it is all that `cdk bootstrap` would make that the local synthesizer uses.
_ASSETS_BUCKET = f"cdk-hnb659fds-assets-{ACCOUNT}-{REGION}"
_SOURCES = ("functions", "infra", "layers/core", "layers/deps", "training_container/Dockerfile", "cdk.json")
_IGNORED_FOLDERS = {"node_modules", "__pycache__", "local"}
# Where webhooks and dataset URLs may lead besides public addresses: receivers run on this machine too.
_THIS_MACHINE = "127.0.0.0/8,::1/128"
# Whoever creates it on this machine can try datasets at s3:// addresses.
DATASETS_BUCKET = "datasets"
ClientFactory = Callable[[str], Any]


def deploy(options: Options, client: ClientFactory, commands: Commands, say: Callable[[str], None]) -> dict[str, str]:
    """Bring the stack up to date and return its outputs. `say` is told when that takes a while.

    Raises Refusal with the last lines of the CDK's output when it fails; the rest is in the log.
    """
    fingerprint = sources_fingerprint(options)
    if _deployed(client) != fingerprint:
        say("Deploying the stack to this machine …")
        _run(commands, [str(PLATFORM_PYTHON), "-m", "infra.build_deps", "local"], options)
        _make_assets_bucket(client)
        _run(commands, _cdk_command(options), options)
        client("ssm").put_parameter(Name=_FINGERPRINT, Value=fingerprint, Type="String", Overwrite=True)
    return outputs(client)


def outputs(client: ClientFactory) -> dict[str, str]:
    """The stack's outputs by name."""
    stack = client("cloudformation").describe_stacks(StackName=STACK)["Stacks"][0]
    return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}


def sources_fingerprint(options: Options) -> str:
    """Changes whenever the template or the functions' code could."""
    digest = hashlib.sha256("\0".join((options.hub_url, *options.context)).encode())
    for path in _files():
        digest.update(str(path.relative_to(REPOSITORY)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _files() -> Iterator[Path]:
    for source in _SOURCES:
        root = REPOSITORY / source
        for path in sorted(root.rglob("*")) if root.is_dir() else [root]:
            if path.is_file() and not _IGNORED_FOLDERS.intersection(path.relative_to(REPOSITORY).parts):
                yield path


def _deployed(client: ClientFactory) -> str | None:
    ssm = client("ssm")
    try:
        return ssm.get_parameter(Name=_FINGERPRINT)["Parameter"]["Value"]
    except ssm.exceptions.ParameterNotFound:
        return None


def _make_assets_bucket(client: ClientFactory) -> None:
    s3 = client("s3")
    if _ASSETS_BUCKET not in [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]:
        s3.create_bucket(Bucket=_ASSETS_BUCKET)


def _cdk_command(options: Options) -> list[str]:
    hub = ["--context", f"hub_url={options.hub_url}"] if options.hub_url else []
    return [
        str(CDK), "deploy", "--all", "--require-approval", "never", "--no-notices", "--progress", "events",
        "--context", "flavour=local", "--context", f"webhook_private_networks={_THIS_MACHINE}",
        "--context", f"dataset_buckets={DATASETS_BUCKET}",
        *(part for choice in options.context for part in ("--context", choice)),
        "--output", str(options.state_dir / "cdk.out"), *hub,
    ]  # fmt: skip


def _environment(options: Options) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    found = node()
    return {
        **inherited,
        **options.aws_environment(),
        "CDK_DEFAULT_ACCOUNT": ACCOUNT,
        "CDK_DEFAULT_REGION": REGION,
        "CDK_DISABLE_CLI_TELEMETRY": "true",
        # The gate for the template is `make test-infra`; here it would cost 10 seconds at every start.
        "CDK_VALIDATION": "false",
        "JSII_NODE": str(found),
        "JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION": "20",
        "PATH": f"{found.parent}:{os.environ.get('PATH', '')}",
    }


def _run(commands: Commands, command: list[str], options: Options) -> None:
    done = commands.run(command, _environment(options))
    with options.log.open("a", encoding="utf-8") as log:
        log.write(f"$ {json.dumps(command)}\n{done.output}\n{done.complaints}\n")
    if done.code:
        tail = "\n".join((done.output + done.complaints).strip().splitlines()[-8:])
        raise Refusal(f"Deploying failed:\n{tail}\nThe whole output is in {options.log}.")
