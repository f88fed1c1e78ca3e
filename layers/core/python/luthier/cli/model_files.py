"""The files of models: fetched from the platform, and brought to it."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from luthier.cli.asking import Shown, Wait, asking, given
from luthier.cli.stop import UNREACHABLE, Stop

if TYPE_CHECKING:
    from luthier.client import Luthier
    from luthier.client.api.training_models import DownloadAnswer

app = typer.Typer()

_PAUSE_SECONDS = 5.0
_UPLOAD_SECONDS = 600.0


@app.command()
@asking
def download(
    client: "Luthier",
    model_id: Annotated[str, typer.Argument(metavar="MODEL", help="Id of the model, or any of its names.")],
    form: Annotated[
        str | None, typer.Option("--format", help="adapter, huggingface, pytorch, onnx, gguf or tensorrt; as it is.")
    ] = None,
    compression: Annotated[str | None, typer.Option(help="zip or tar.gz: one archive instead of files.")] = None,
    output: Annotated[Path | None, typer.Option(help="Folder; one of the model's name by default.")] = None,
) -> Shown:
    """Fetch the weights of a model. Every checksum is verified; files that are here already are not fetched again.

    Example: luthier models download llama-3.1-8b-tickets --format huggingface --output tickets
    """
    from luthier.cli.fetching import fetch, is_whole

    answer = granted(client, model_id, **given(format=form, compression=compression))
    folder = output or Path(model_id.replace("/", "-"))
    rows = [row for row in answer.files if row.url] or [_archive(answer)]
    for row in rows:
        if not is_whole(row, folder):
            fetch(row, folder)
    return Shown(answer, f"{len(rows)} files, {sum(row.size for row in rows):,} bytes in {folder}")


def granted(client: "Luthier", model_id: str, **asked: Any) -> "DownloadAnswer":
    """The addresses of a model's files. The platform may have to convert the model before."""
    answer = client.training.models.download(model_id, **asked)
    if answer.status != "ready":
        typer.echo(f"The platform makes the format {answer.format} of this model …", err=True)
    while answer.status != "ready":
        time.sleep(_PAUSE_SECONDS)
        answer = client.training.models.download(model_id, **asked)
    return answer


def _archive(answer: "DownloadAnswer") -> Any:
    """The archive, as files are told of."""
    from luthier.client import Open

    name = f"model.{answer.compression}"
    return Open.model_construct(name=name, size=answer.size, checksum=answer.checksum, url=answer.download_url)


@app.command("import")
@asking
def import_model(
    client: "Luthier",
    source: Annotated[
        str, typer.Argument(help="A folder here, an s3:// folder of a listed bucket, or a checkpoint of a job.")
    ],
    name: Annotated[str, typer.Option(help="The model's name from then on.")],
    base_model: Annotated[
        str | None, typer.Option(help="What it was trained from; of a checkpoint it is known.")
    ] = None,
    description: Annotated[str | None, typer.Option()] = None,
    tag: Annotated[list[str] | None, typer.Option(help="Repeat it.")] = None,
    wait: Wait = False,
) -> Shown:
    """Import an adapter or merged weights that were trained elsewhere, as safetensors.

    Example: luthier models import ./my-adapter --name tickets-2025 --base-model llama-3.1-8b --wait
    """
    folder = Path(source).expanduser()
    files = _files(folder) if folder.is_dir() else []
    asked = given(base_model=base_model, description=description, tags=tag)
    begun: Any = client.training.imports.create(name=name, source=_told(source, files), **asked)
    if files:
        _upload(folder, begun)
        begun = client.training.imports.complete(begun.id)
    if wait:
        begun = client.training.imports.wait(begun.id)
    reason = f" {begun.error.message} {begun.error.hint or ''}".rstrip() if begun.error else ""
    return Shown(begun, f"{begun.id} is {begun.status}{f': {begun.model_id}' if begun.model_id else ''}.{reason}")


def _files(folder: Path) -> list[Path]:
    """Those that make a model; what else lies there stays here."""
    from luthier.imports.files import fits

    found = sorted(path for path in folder.iterdir() if path.is_file() and fits(path.name))
    if not found:
        raise Stop(
            f"{folder} holds no model.", "Name a folder with safetensors and config.json or adapter_config.json."
        )
    return found


def _told(source: str, files: list[Path]) -> dict[str, Any]:
    if files:
        return {"type": "upload", "files": [{"name": path.name, "size": path.stat().st_size} for path in files]}
    if source.startswith("s3://"):
        return {"type": "s3", "uri": source}
    return {"type": "checkpoint", "checkpoint": source}


def _upload(folder: Path, begun: Any) -> None:
    """PUT each file to its own address, which is a permission by itself: the key goes to nobody else."""
    import httpx

    from luthier.cli.files import bar

    with bar() as progress:
        for place in begun.uploads:
            with progress.open(folder / place.name, "rb", description=place.name) as content:
                try:
                    sent = httpx.request(
                        place.method,
                        place.url,
                        headers=place.headers,
                        content=iter(lambda: content.read(1 << 20), b""),
                        timeout=_UPLOAD_SECONDS,
                    )
                    sent.raise_for_status()
                except httpx.HTTPError as error:
                    message = f"{place.name} could not be uploaded: {error or type(error).__name__}."
                    raise Stop(message, "Run the command again.", UNREACHABLE) from None
