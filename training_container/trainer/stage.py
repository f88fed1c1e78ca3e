"""Copies a base model from a hub into the base-model bucket: `python -m trainer.stage [--root /opt/ml]`.

Runs as a SageMaker job of the training image with network on, since a model is larger and slower than a Lambda can
take. The order comes in the environment: STAGE_MODEL_ID, STAGE_REVISION, STAGE_HUB_URL, STAGE_DESTINATION
(s3://bucket/prefix) and, for gated models, STAGE_HUB_TOKEN_SECRET (name or ARN in Secrets Manager).
Exit codes and output/failure are those of trainer.train. Run again, it continues with the files that are missing.
"""

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainer import failures, files, hub, log
from trainer.failures import Failure
from trainer.folders import Folders
from trainer.interruption import Interruption
from trainer.snapshot_store import SnapshotStore

DEFAULT_HUB = "https://huggingface.co"


@dataclass(frozen=True)
class Order:
    """What to copy and where to."""

    model: str
    revision: str
    hub_url: str
    destination: str
    token_secret: str

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> "Order":
        """Raises Failure(bad_config) naming the variable that is missing."""
        for name in ("STAGE_MODEL_ID", "STAGE_REVISION", "STAGE_DESTINATION"):
            if not environment.get(name):
                raise Failure("bad_config", f"The environment variable {name} is missing.")
        return cls(
            model=environment["STAGE_MODEL_ID"],
            revision=environment["STAGE_REVISION"],
            hub_url=environment.get("STAGE_HUB_URL") or DEFAULT_HUB,
            destination=environment["STAGE_DESTINATION"],
            token_secret=environment.get("STAGE_HUB_TOKEN_SECRET", ""),
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=Path("/opt/ml"), help="folder of SageMaker's layout")
    # SageMaker appends the word "train" to whatever the image starts.
    parser.add_argument("command", nargs="?", choices=["train"], help=argparse.SUPPRESS)
    root = parser.parse_args().root.resolve()
    try:
        Interruption().listen()
        log.capture_libraries()
        hub.configure()
        stage(Order.read(os.environ), root)
    except BaseException as error:
        return failures.report(error, Folders(root))
    return 0


def stage(order: Order, root: Path) -> None:
    """Copy the snapshot file by file and close it with its manifest. Raises Failure."""
    import boto3

    store = SnapshotStore(boto3.client("s3"), order.destination)
    if store.has_manifest():
        log.info("already staged", model=order.model, revision=order.revision)
        return
    token = _token(boto3.client("secretsmanager"), order.token_secret) if order.token_secret else None
    source = hub.Hub(order.hub_url, token)
    listing = source.listing(order.model, order.revision)
    log.info("staging", model=order.model, revision=order.revision, commit=listing.commit, files=len(listing.files))
    copied = [_copy(source, store, listing, file, root) for file in listing.files]
    store.write_manifest(
        {
            "model": order.model,
            "revision": order.revision,
            "commit": listing.commit,
            "files": copied,
            "staged_at": log.now(),
        }
    )
    log.info("staged", bytes=sum(file["size"] for file in copied))


def _token(secrets: Any, name: str) -> str:
    from botocore.exceptions import ClientError

    try:
        return secrets.get_secret_value(SecretId=name)["SecretString"].strip()
    except ClientError as error:
        reason = error.response["Error"]["Code"]
        raise Failure("bad_config", f"The hub token cannot be read from the secret {name}: {reason}.") from error


def _copy(source: hub.Hub, store: SnapshotStore, listing: hub.Listing, file: hub.File, root: Path) -> dict[str, Any]:
    """The file's row of the manifest; a file that an earlier run has copied is not fetched again."""
    if (known := store.sha256_of(file.path, file.size)) is not None:
        return {"path": file.path, "size": known.size, "sha256": known.sha256}
    root.mkdir(parents=True, exist_ok=True)
    # On the job's volume and gone after each file, so that the volume needs to hold the largest file only.
    folder = Path(tempfile.mkdtemp(prefix="stage-", dir=root))
    try:
        path = source.download(listing, file, folder)
        size, digest = path.stat().st_size, files.sha256(path)
        if file.sha256 not in (None, digest):
            raise Failure(
                "network", f"{file.path} arrived damaged: its sha256 is {digest}, the hub says {file.sha256}."
            )
        store.upload(path, file.path, digest)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    log.info("copied", file=file.path, bytes=size)
    return {"path": file.path, "size": size, "sha256": digest}


if __name__ == "__main__":
    sys.exit(main())
