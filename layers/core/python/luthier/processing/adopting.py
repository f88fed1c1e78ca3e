"""Adopting a model that was trained elsewhere: `trainer.adopt`.

subject: the id of the model to come. spec: `{name, uri}`: what it shall be called, and the S3 prefix of its files.
context: `{bytes, description, tags, checkpoint}`: the size of the files together, and what the model shall tell of
itself; the name of the checkpoint that it was.
"""

import json
from typing import Any

from luthier import objects
from luthier.catalog import service as catalog
from luthier.errors import InvalidRequest, NotFound
from luthier.jobs import hyperparameters
from luthier.processing.entity import Processing
from luthier.processing.plan import Plan, Workshop, cheapest_machine

_ROOM_GB = 30
# Its weights lie there as they came, as the model has them, and packed for the server.
_COPIES = 3


def plan(processing: Processing, workshop: Workshop, base_uri: str) -> Plan:
    base = catalog.find_base_model(processing.base_model)
    wish = processing.spec
    return Plan(
        module="trainer.adopt",
        channels={"source": wish["uri"], "base": base_uri},
        hardware=cheapest_machine(base),
        volume_gb=_ROOM_GB + (2 * base.parameters + _COPIES * processing.context["bytes"]) // 10**9,
        arguments=("--name", wish["name"], "--base-model", base.id),
    )


def settle(processing: Processing, workshop: Workshop, output_uri: str) -> dict[str, Any]:
    """`{model_id, name, warnings}` of the model that the registry has now; the name has a number where it was taken."""
    card = _read_card(workshop.s3, output_uri)
    told = processing.context
    model = workshop.models.adopt(
        processing.subject,
        processing.organization_id,
        output_uri,
        card,
        also=told.get("checkpoint"),
        name=processing.spec["name"],
        base_model=processing.base_model,
        owner=processing.owner,
        description=told["description"],
        tags=told["tags"],
        hyperparameters=_hyperparameters(card),
    )
    return {"model_id": model.id, "name": model.name, "warnings": _warnings(processing.base_model, card)}


def _warnings(base_model: str, card: dict[str, Any]) -> list[str]:
    """What its owner has to judge: shapes that fit do not show on which of two alike bases an adapter was trained."""
    base, named = catalog.find_base_model(base_model), card.get("named_base") or ""
    # A folder or a mirror is called as what it holds.
    last = named.replace("\\", "/").rstrip("/").rpartition("/")[2].casefold()
    known = {base.id, *base.aliases, base.hub_id, base.hub_id.rpartition("/")[2]}
    if not named or {named.casefold(), last} & {name.casefold() for name in known}:
        return []
    return [
        f"The adapter's own settings name {named} as its base model, not {base.hub_id}. It fits, but answers well only "
        "beside the weights that it was trained with."
    ]


def _hyperparameters(card: dict[str, Any]) -> dict[str, Any]:
    """The shape of an adapter, as far as a job can have it: a run that goes on reads the rest from the adapter."""
    training = card["training"]
    if training["strategy"] == "full":
        return {"adapter": "full"}
    told = training["parameters"]
    shape = {
        "lora_rank": told["rank"],
        "lora_alpha": told["alpha"],
        "target_modules": told["target_modules"],
        "use_rslora": training["strategy"] == "rslora",
    }
    return {"adapter": "lora"} | {name: value for name, value in shape.items() if _is_of_jobs(name, value)}


def _is_of_jobs(name: str, value: Any) -> bool:
    """Whether a job may have a hyperparameter of this value: elsewhere alpha may be a fraction, modules other ones."""
    try:
        hyperparameters.resolve({hyperparameters.wire_of(name): value}, longest=1)
    except InvalidRequest:
        return False
    return True


def _read_card(s3: Any, output_uri: str) -> dict[str, Any]:
    bucket, prefix = objects.parts(output_uri)
    try:
        return json.loads(s3.get_object(Bucket=bucket, Key=f"{prefix.rstrip('/')}/model_card.json")["Body"].read())
    except s3.exceptions.NoSuchKey as error:
        message = "The check completed but left no model card."
        raise NotFound(message, code="artifact_missing", remedy="Complete the import again.") from error
