"""Packing a model in one format, as files or as one archive: `trainer.package`.

spec: `{format, compression, files}`, files sorted; so an archive is built once, however often it is asked for.
"""

import json
from dataclasses import replace
from typing import Any

from luthier import objects, table
from luthier.catalog import service as catalog
from luthier.catalog.entity import BaseModel
from luthier.downloads.entity import File
from luthier.errors import NotFound
from luthier.models import formats
from luthier.models.entity import Model
from luthier.models.formats import ADAPTER, FILES, TENSORRT
from luthier.models.store import Moved
from luthier.processing.entity import Processing
from luthier.processing.plan import Plan, Workshop, cheapest_machine

_ROOM_GB = 30
# The model, its merged weights, the files of the format and their archive lie on one disk.
_COPIES = 5


def plan(processing: Processing, workshop: Workshop, base_uri: str) -> Plan:
    base = catalog.find_base_model(processing.base_model)
    model, wanted = _model(processing, workshop), processing.spec
    channels = {"model": f"{model.artifact_uri.rstrip('/')}/"}
    if wanted["format"] != ADAPTER:
        channels["base"] = base_uri
    return Plan(
        module="trainer.package",
        channels=channels,
        hardware=_hardware(wanted["format"], base),
        volume_gb=_ROOM_GB + _COPIES * (2 * base.parameters + model.bytes) // 10**9,
        arguments=(
            *("--format", wanted["format"], "--compression", wanted["compression"]),
            *(argument for name in wanted["files"] for argument in ("--file", name)),
        ),
    )


def settle(processing: Processing, workshop: Workshop, output_uri: str) -> dict[str, Any]:
    """`{uri, files, archive, proof}`: uri of the S3 folder; files and archive as `{name, size, sha256}`, archive None
    where there is none; proof: by kind of export. Everything to be fetched lies there in full.
    """
    uri = output_uri.rstrip("/")
    result, fetched = _report(workshop.s3, uri, processing.spec["files"])
    for file in fetched:
        _check(workshop.s3, file)
    table.until_unchanged(processing.subject, lambda: _enter(processing, workshop, result), Moved)
    return result


def _hardware(form: str, base: BaseModel) -> str:
    return catalog.serving_hardware(base).id if form == TENSORRT else cheapest_machine(base)


def _enter(processing: Processing, workshop: Workshop, result: dict[str, Any]) -> None:
    """Note on the model what there is of it now: of a whole format, or of its archive, never of some files."""
    model, wanted = _model(processing, workshop), processing.spec
    if set(wanted["files"]) != set(FILES[wanted["format"]]):
        return
    if archive := result["archive"]:
        if wanted["format"] != formats.own(model):
            return
        new = replace(model, compressed_bytes=archive["size"])
    else:
        made = {name: result[name] for name in ("uri", "files", "proof")}
        new = replace(model, formats=model.formats | {wanted["format"]: made})
    if new != model:
        workshop.model_store.save(model, new)


def _model(processing: Processing, workshop: Workshop) -> Model:
    model = workshop.model_store.get(processing.organization_id, processing.subject)
    if model is None:
        raise NotFound(f"Model {processing.subject} was removed.", code="model_not_found")
    return model


def _report(s3: Any, uri: str, wanted: list[str]) -> tuple[dict[str, Any], list[File]]:
    """The result by package.json, and what of it is to be fetched."""
    bucket, key = objects.parts(f"{uri}/package.json")
    try:
        told = json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
        files = [File.below(uri, row) for row in told["files"]]
        archive = File.below(uri, told["archive"]) if told["archive"] else None
        result = {"uri": uri, **{name: told[name] for name in ("files", "archive", "proof")}}
    except s3.exceptions.NoSuchKey as error:
        raise _missing("package.json") from error
    except (KeyError, TypeError, ValueError) as error:
        raise _missing("package.json that can be read") from error
    if absent := set(wanted) - {file.name for file in files}:
        raise _missing(", ".join(sorted(absent)))
    return result, [archive] if archive else files


def _check(s3: Any, file: File) -> None:
    bucket, key = objects.parts(file.uri)
    try:
        size = s3.head_object(Bucket=bucket, Key=key)["ContentLength"]
    except s3.exceptions.ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
            raise _missing(file.name) from error
        raise
    if size != file.size:
        raise _missing(f"{file.name} of {file.size} bytes, but one of {size}")


def _missing(what: str) -> NotFound:
    return NotFound(f"The package was made, but left no {what}.", code="artifact_missing", remedy="Ask again.")
