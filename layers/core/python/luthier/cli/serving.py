"""Models on this machine: served with the container's own server, without the platform."""

import json
import shlex
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from luthier.cli import local_models, server, stop
from luthier.cli.runtime import Runtime
from luthier.cli.stop import Stop

app = typer.Typer()


class Device(StrEnum):
    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"
    mps = "mps"


@app.command("setup-runtime")
def setup_runtime() -> None:
    """Install what serving needs: PyTorch, transformers and the rest, pinned, in ~/.luthier/runtime.

    $LUTHIER_RUNTIME names another folder, which may be a virtual environment already. Run again, it finishes what was
    cut off, and renews what an older version has left.

    Example: luthier models setup-runtime
    """
    runtime = Runtime()
    with stop.told():
        if runtime.ready:
            typer.echo(f"The runtime is there already, for this version: {runtime.folder}")
            return
        runtime.set_up()
    typer.echo("Ready: luthier models serve MODEL")


@app.command(epilog=stop.STATUSES)
def serve(
    target: Annotated[
        str, typer.Argument(metavar="MODEL", help="Id or name of a model of the platform, a folder, or a .tar.gz.")
    ],
    spec: Annotated[
        Path | None,
        typer.Option(help="Behaviour spec; by default ./tunedtensor.json, or the one in the model's folder."),
    ] = None,
    no_spec_prompt: Annotated[bool, typer.Option("--no-spec-prompt", help="Use no behaviour spec.")] = False,
    base: Annotated[Path | None, typer.Option(help="Folder of the base model, where MODEL is an adapter.")] = None,
    host: Annotated[str, typer.Option(help="0.0.0.0 lets other machines ask.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65_535)] = 8000,
    device: Annotated[Device, typer.Option(help="auto: a GPU where PyTorch sees one.")] = Device.auto,
    max_tokens: Annotated[int, typer.Option(min=1, help="For chats that set no limit.")] = 512,
    temperature: Annotated[float, typer.Option(min=0, max=2, help="For requests that set none.")] = 0.7,
    json_schema: Annotated[
        Path | None, typer.Option(help="File with the JSON schema of every answer that asks for no other format.")
    ] = None,
    gate_field: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Boolean field of --json-schema. An answer that is cut after false there is that field alone, no 422.",
        ),
    ] = None,
    json_repair_attempts: Annotated[
        int, typer.Option(min=0, max=10, help="How often JSON that was cut off is asked for again, before a 422.")
    ] = 1,
    idle_timeout: Annotated[int, typer.Option(min=0, help="Seconds without a request; 0: for ever.")] = 300,
    managed: Annotated[
        bool,
        typer.Option(
            "--managed",
            help="Start the model again when it has died, and after a rest when somebody asks; requests wait.",
        ),
    ] = False,
    restart_after_requests: Annotated[
        int | None,
        typer.Option(
            min=0, help="With --managed: load the model anew after so many requests; 0: never. [default: 100]"
        ),
    ] = None,
    log_file: Annotated[Path | None, typer.Option(help="Where the server's log goes instead of here.")] = None,
    print_command: Annotated[bool, typer.Option("--print-command", help="Print what would run, and end.")] = False,
) -> None:
    """Answer OpenAI's requests with one model on this machine: http://127.0.0.1:8000/v1, GET /health.

    A model of the platform is fetched once, with a key of scope models:write, and kept in ~/.luthier/models
    ($LUTHIER_HOME). It ends with 0 by ctrl-C, SIGTERM or the idle timeout.

    Example: luthier models serve smollm2-135m-instruct-tickets --spec tunedtensor.json
    """
    runtime = Runtime()
    with stop.told():
        if not (runtime.ready or print_command):
            message = f"There is no runtime of this version in {runtime.folder}."
            raise Stop(message, "Make it with: luthier models setup-runtime", stop.NO_RUNTIME)
        if json_schema:
            _require_object(json_schema, gate_field)
        elif gate_field is not None:
            raise Stop("--gate-field is a field of --json-schema.", "Name the schema too, or leave it out.")
        if restart_after_requests is not None and not managed:
            raise Stop("--restart-after-requests is for a managed server.", "Add --managed.")
        model = local_models.find(target, base)
        used = None if no_spec_prompt else _spec(spec, model.folder)
        options = {
            "--model": model.folder.absolute(),
            "--base": model.base and model.base.absolute(),
            "--name": model.name,
            "--spec": used and used.absolute(),
            "--host": host,
            "--port": port,
            "--device": device.value,
            "--max-tokens": max_tokens,
            "--temperature": temperature,
            "--json-schema": json_schema and json_schema.absolute(),
            "--gate-field": gate_field,
            "--json-repair-attempts": json_repair_attempts,
            "--idle-timeout": idle_timeout,
            "--most-requests": (100 if restart_after_requests is None else restart_after_requests) if managed else None,
        }
        given = [word for name, value in options.items() if value is not None for word in (name, str(value))]
        command = [str(runtime.python), "-m", "trainer.serve_local", *given, *(["--patient"] if managed else [])]
        if print_command:
            typer.echo(shlex.join(command))
            return
        if log_file:
            server.log_to(log_file)
        listener = server.listen(host, port)
    typer.echo(f"{model.name} answers at http://{host}:{port}/v1 once it is loaded; ctrl-C ends it.", err=True)
    with stop.told():
        if managed:
            server.manage(command, listener)
        server.become(command, listener)


def _spec(given: Path | None, folder: Path) -> Path | None:
    """The file whose prompt stands before every conversation; None where there is none, or it says nothing."""
    from luthier.models import behavior

    if given and not given.is_file():
        raise Stop(f"There is no behaviour spec {given}.", "Name another with --spec, or leave it out.")
    usual = (Path(local_models.SPEC), folder / local_models.SPEC)
    found = given or next((path for path in usual if path.is_file()), None)
    try:
        return found if found and behavior.compiled(found.read_text(encoding="utf-8")) else None
    except ValueError as error:
        raise Stop(f"{found} is no behaviour spec. {error}", "Mend it, or use none: --no-spec-prompt.") from None


def _require_object(path: Path, gate_field: str | None) -> None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Stop(f"{path} cannot be read as a JSON schema: {error}", "Name a file that holds one.") from None
    if not isinstance(content, dict):
        raise Stop(f"{path} holds no JSON schema: it must be an object.", "Name a file that holds one.")
    fields = content.get("properties")
    rule = fields.get(gate_field) if isinstance(fields, dict) else None
    if gate_field is not None and (not isinstance(rule, dict) or rule.get("type") != "boolean"):
        raise Stop(f"{path} has no boolean field {gate_field!r}.", "Name another --gate-field, or leave it out.")
