"""Packing a model in one format, as files or as one archive: `trainer.package`.

spec: `{format, compression, files}`, files sorted; so an archive is built once, however often it is asked for.
"""

import json
from dataclasses import replace
from typing import Any

from luthier import objects, table
from luthier.catalog import service as catalog
from luthier.catalog.entity import BaseModel
from luthier.errors import NotFound
from luthier.models.entity import Model
from luthier.models.formats import ADAPTER, FILES, NONE, TENSORRT
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
    where there is none; proof: by kind of export.
    """
    report = _report(workshop.s3, output_uri)
    uri = output_uri.rstrip("/")
    result = {"uri": uri, **{name: report[name] for name in ("files", "archive", "proof")}}
    table.until_unchanged(processing.subject, lambda: _enter(processing, workshop, result), Moved)
    return result


def _hardware(form: str, base: BaseModel) -> str:
    return catalog.serving_hardware(base).id if form == TENSORRT else cheapest_machine(base)


def _enter(processing: Processing, workshop: Workshop, result: dict[str, Any]) -> None:
    """Note on the model what there is of it now."""
    model, wanted = _model(processing, workshop), processing.spec
    new = model
    if archive := result["archive"]:
        new = replace(new, compressed_bytes=archive["size"])
    if wanted["compression"] == NONE and set(wanted["files"]) == set(FILES[wanted["format"]]):
        made = {name: result[name] for name in ("uri", "files", "proof")}
        new = replace(new, formats=model.formats | {wanted["format"]: made})
    if new != model:
        workshop.model_store.save(model, new)


def _model(processing: Processing, workshop: Workshop) -> Model:
    model = workshop.model_store.get(processing.organization_id, processing.subject)
    if model is None:
        raise NotFound(f"Model {processing.subject} was removed.", code="model_not_found")
    return model


def _report(s3: Any, output_uri: str) -> dict[str, Any]:
    bucket, key = objects.parts(output_uri)
    try:
        return json.loads(s3.get_object(Bucket=bucket, Key=f"{key.rstrip('/')}/package.json")["Body"].read())
    except s3.exceptions.NoSuchKey as error:
        message = "The package was made, but left no package.json."
        raise NotFound(message, code="artifact_missing", remedy="Ask again.") from error
