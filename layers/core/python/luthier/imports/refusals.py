"""Every way in which a request about imports is refused, in words."""

from collections.abc import Sequence

from luthier.errors import Conflict, InvalidRequest, NotFound, PayloadTooLarge

_NAMES_SHOWN = 8
_CONVERT = (
    "Where you trust the weights, load them with PEFT or transformers and save them again: save_pretrained writes "
    "safetensors."
)
_URI = "source.uri"


def not_found(import_id: str) -> NotFound:
    return NotFound(
        f"No import {import_id!r}.",
        param="import_id",
        remedy="Check the id; an import is shown for 30 days.",
    )


def not_with(param: str, kind: str) -> InvalidRequest:
    return InvalidRequest(
        f"{param} does not go with source.type {kind}.",
        param=param,
        remedy="Send `uri` with s3, `files` with upload, `checkpoint` with checkpoint.",
    )


def missing(param: str, kind: str) -> InvalidRequest:
    message = f"{param} is required with source.type {kind}."
    return InvalidRequest(message, code="missing_field", param=param)


def bad_address(uri: str) -> InvalidRequest:
    return InvalidRequest(
        f"{_URI}: {uri!r:.80} is not the address of a folder in S3.",
        param=_URI,
        remedy="Send s3://BUCKET/PREFIX of up to 1,000 bytes; the model's files lie right below it.",
    )


def bucket_not_listed(bucket: str) -> InvalidRequest:
    return InvalidRequest(
        f"{_URI}: this platform does not read models from the bucket {bucket!r:.80}.",
        code="bucket_not_listed",
        param=_URI,
        remedy="Send source.type upload, or have the operator add the bucket to the setting dataset_buckets.",
    )


def nothing_there(uri: str) -> InvalidRequest:
    return InvalidRequest(
        f"{_URI}: there is nothing below {uri!r:.120}.",
        code="source_not_found",
        param=_URI,
        remedy="Check the address; it is case-sensitive.",
    )


def access_denied(uri: str, statement: str) -> InvalidRequest:
    """Prints the statement that the bucket's owner has to add."""
    return InvalidRequest(
        f"{_URI}: S3 denies this platform {uri!r:.120}.",
        code="source_access_denied",
        param=_URI,
        details={"bucketPolicyStatement": statement},
        remedy=f"Add this statement to the bucket's policy: {statement}",
    )


def too_many(uri: str, most: int) -> PayloadTooLarge:
    return PayloadTooLarge(
        f"{_URI}: more than {most} objects lie below {uri!r:.120}.",
        param=_URI,
        details={"limit": most},
        remedy="Name the folder that holds one model and nothing else.",
    )


def too_large(size: int, limit: int, base_model: str, param: str) -> PayloadTooLarge:
    return PayloadTooLarge(
        f"{param}: the files have {size} bytes; a model made from {base_model} has at most {limit}.",
        param=param,
        details={"bytes": size, "limit": limit},
        remedy="Check baseModel, and leave out checkpoints and optimizer states.",
    )


def no_plain_name(name: str, param: str) -> InvalidRequest:
    return InvalidRequest(
        f"{param}: {name!r:.80} is not a plain file name.",
        code="invalid_filename",
        param=param,
        remedy="Use letters, digits, dots, hyphens and underscores, without a folder.",
    )


def twice(name: str, param: str) -> InvalidRequest:
    message = f"{param}: {name!r:.80} comes twice."
    return InvalidRequest(message, code="invalid_filename", param=param, remedy="Name each file once.")


def pickled(name: str, param: str) -> InvalidRequest:
    return InvalidRequest(
        f"{param}: {name!r:.80} is a pickle file, and none is ever loaded here.",
        code="no_safetensors",
        param=param,
        remedy=f"Leave it out if it holds no weights. {_CONVERT}",
    )


def unknown_file(name: str, known: Sequence[str], param: str) -> InvalidRequest:
    return InvalidRequest(
        f"{param}: {name!r:.80} is no file of an adapter or a model.",
        code="invalid_filename",
        param=param,
        details={"known": list(known)},
        remedy=f"Leave it out; what is taken is *.safetensors and {', '.join(known)}.",
    )


def weights_pickled(name: str, param: str) -> InvalidRequest:
    message = f"{param}: the weights are in a pickle file, {name!r:.80}, and none is ever loaded here."
    return InvalidRequest(message, code="no_safetensors", param=param, remedy=_CONVERT)


def no_model(wanted: Sequence[str], found: Sequence[str], param: str) -> InvalidRequest:
    shown = ", ".join(name[:80] for name in found[:_NAMES_SHOWN]) or "nothing"
    more = f" and {len(found) - _NAMES_SHOWN} more" if len(found) > _NAMES_SHOWN else ""
    return InvalidRequest(
        f"{param}: there is no {' or '.join(wanted)}; there is {shown}{more}.",
        code="bad_import",
        param=param,
        remedy="Give a PEFT adapter (adapter_config.json, adapter_model.safetensors), or merged weights as safetensors "
        "with their config.json.",
    )


def not_uploaded(import_id: str, names: Sequence[str]) -> Conflict:
    shown = ", ".join(names[:_NAMES_SHOWN])
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return Conflict(
        f"Files of {import_id} have not arrived: {shown}{more}.",
        code="content_missing",
        details={"current": "awaiting_upload", "required": "content", "missing": list(names)},
        remedy="PUT each file to its upload address, then complete the import.",
    )
