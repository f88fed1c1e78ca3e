"""Previewing a file with the tokenizer of a base model: `trainer.show`.

subject: the file's id. spec: `{base_model, revision, method, max_sequence_length, row}`; row: the line to show, None
for the riskiest rows. context: `{name, uri, bytes}`: what the file is called, where it lies, and how large it is.
"""

import json
from typing import Any

from luthier import objects
from luthier.catalog import service as catalog
from luthier.errors import NotFound
from luthier.processing.entity import Processing
from luthier.processing.plan import Plan, Workshop

# Rows of a preview that is kept; an answer has the first ones of them.
MOST_ROWS = 20
_MAX_SECONDS = 3600
_ROOM_GB = 30


def plan(processing: Processing, workshop: Workshop, base_uri: str) -> Plan:
    base, wanted, place = catalog.find_base_model(processing.base_model), processing.spec, processing.context
    # It is deleted with its previews, so none may come of one that is deleted.
    workshop.datasets.stored(processing.organization_id, processing.subject)
    return Plan(
        module="trainer.show",
        channels={"train": place["uri"], "base": base_uri},
        hardware=_hardware(),
        volume_gb=_ROOM_GB + (2 * base.parameters + place["bytes"]) // 10**9,
        arguments=(
            *("--method", wanted["method"], "--max-sequence-length", str(wanted["max_sequence_length"])),
            *(("--line", str(wanted["row"])) if wanted["row"] else ("--rows", str(MOST_ROWS))),
        ),
        max_seconds=_MAX_SECONDS,
    )


def settle(processing: Processing, workshop: Workshop, output_uri: str) -> dict[str, Any]:
    """`{uri}` of preview.json, which can be read."""
    uri = f"{output_uri.rstrip('/')}/preview.json"
    read(workshop.s3, uri)
    return {"uri": uri}


def read(s3: Any, uri: str) -> dict[str, Any]:
    """What the job left. Raises NotFound."""
    bucket, key = objects.parts(uri)
    try:
        return json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
    except s3.exceptions.NoSuchKey as error:
        message = "The preview completed but left no preview.json."
        raise NotFound(message, code="artifact_missing", remedy="Ask again.") from error


def _hardware() -> str:
    """The cheapest there is: a tokenizer needs neither a GPU nor room for the model."""
    return min((row for row in catalog.hardware() if row.available), key=lambda row: row.cost_per_hour).id
