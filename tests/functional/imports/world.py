"""Models of elsewhere: what is uploaded of them, what lies in buckets of others, and what the adopter leaves."""

from typing import Any

import requests

from tests.factories import BASE_MODEL, SETTINGS, Platform
from tests.functional.processing import world
from tests.gateway import Answer, Gateway

IMPORTS = "/v2/training/models/import"
ADAPTER = {"adapter_config.json": b"{}", "adapter_model.safetensors": b"weights"}
MERGED = {"config.json": b"{}", "model.safetensors": b"weights"}
SHA = "a" * 64
# What trainer.adopt leaves of an adapter.
CARD: dict[str, Any] = {
    "format_version": 1,
    "name": "from-elsewhere",
    "source": "import",
    "base_model": {"id": BASE_MODEL, "revision": "12fd25f77366fa6b3b4b768ec3050bf629380bac"},
    "named_base": None,
    "serving": {"kind": "adapter", "path": "."},
    "architecture": {"layers": 30, "attention_heads": 9, "hidden_size": 576, "vocabulary_size": 49152},
    "training": {
        "strategy": "rslora",
        "parameters": {"rank": 4, "alpha": 12, "dropout": 0.0, "target_modules": ["q_proj", "v_proj"]},
        **dict.fromkeys(("epochs", "final_learning_rate", "total_steps", "training_time", "best_loss")),
    },
    "metrics": {},
    "evaluation": None,
    "parameters": 134_515_008,
    "trainable_parameters": 230_400,
    "files": [
        {"path": "adapter_config.json", "size": 700, "sha256": SHA},
        {"path": "adapter_model.safetensors", "size": 900_000, "sha256": SHA},
        {"path": "proof.json", "size": 3_000, "sha256": SHA},
        {"path": "serving/adapter.tar.gz", "size": 800_000, "sha256": SHA},
    ],
    "seconds": 12.5,
}
MERGED_CARD = CARD | {
    "serving": {"kind": "model", "path": "."},
    "training": CARD["training"] | {"strategy": "full", "parameters": {}},
    "files": [{"path": "model.safetensors", "size": 900_000, "sha256": SHA}],
}


def upload_of(files: dict[str, bytes]) -> dict[str, Any]:
    return {"type": "upload", "files": [{"name": name, "size": len(body)} for name, body in files.items()]}


def body(source: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {"name": "from-elsewhere", "baseModel": BASE_MODEL, "source": source or upload_of(ADAPTER)} | more


def begin(api: Gateway, source: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    answer = api.post(IMPORTS, body(source, **more))
    assert answer.status == 201, answer.text
    return dict(answer.json())


def put(begun: dict[str, Any], files: dict[str, bytes]) -> None:
    """PUT each file to its address, as a client does; moto answers `requests` without a socket."""
    for upload in begun["uploads"]:
        answer = requests.put(upload["url"], data=files[upload["name"]], headers=upload["headers"], timeout=5)
        assert answer.status_code == 200, answer.text


def complete(api: Gateway, import_id: str) -> Answer:
    return api.post(f"{IMPORTS}/{import_id}/complete")


def uploaded(api: Gateway, files: dict[str, bytes] | None = None, **more: Any) -> str:
    """The id of an import whose files have arrived and are being checked."""
    begun = begin(api, upload_of(files or ADAPTER), **more)
    put(begun, files or ADAPTER)
    assert complete(api, begun["id"]).status == 200
    return str(begun["id"])


def adopted(api: Gateway, import_id: str, card: dict[str, Any] | None = None) -> dict[str, Any]:
    """The import after its job has left a card, as the API shows it."""
    world.finish(api.platform, processing(api.platform, import_id), {"model_card.json": card or CARD})
    return dict(api.get(f"{IMPORTS}/{import_id}").json())


def processing(platform: Platform, import_id: str, organization_id: str = "org_a") -> Any:
    [found] = platform.processings.of_subject(organization_id, "adopt", import_id.replace("import_", "model_"))
    return found


def theirs(platform: Platform, files: dict[str, bytes], bucket: str = "theirs", prefix: str = "models/tickets") -> str:
    """The address of a model in a bucket of somebody else."""
    platform.s3.create_bucket(Bucket=bucket)
    for name, content in files.items():
        platform.s3.put_object(Bucket=bucket, Key=f"{prefix}/{name}", Body=content)
    return f"s3://{bucket}/{prefix}"


def uploads_of(platform: Platform) -> list[str]:
    found = platform.s3.list_objects_v2(Bucket=SETTINGS.data_bucket, Prefix=".imports/")
    return [entry["Key"] for entry in found.get("Contents", [])]
