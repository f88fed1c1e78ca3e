"""Every way in which a request about datasets is refused, in words."""

from collections.abc import Mapping, Sequence

from luthier.datasets.entity import Dataset
from luthier.errors import Conflict, InvalidRequest, NotFound, PayloadTooLarge, Unprocessable, quoted

_NAMED_LINES = 10


def not_found(dataset_id: str) -> NotFound:
    return NotFound(f"No file has the id {quoted(dataset_id)}.", code="file_not_found", remedy="Check the id.")


def unknown_choice(param: str, value: str, choices: Sequence[str]) -> InvalidRequest:
    choice = " or ".join(choices)
    return InvalidRequest(f"{param}: {quoted(value)} is not supported.", param=param, remedy=f"Use {choice}.")


def unknown_cursor(after: str) -> InvalidRequest:
    message = f"after: {quoted(after)} is not the id of a file."
    return InvalidRequest(message, param="after", remedy="Use the id of the last file of the page before.")


def bad_filename(filename: str, longest: int) -> InvalidRequest:
    return InvalidRequest(
        f"filename: {quoted(filename)} cannot be the name of a file.",
        code="invalid_filename",
        param="filename",
        remedy=f"Use up to {longest} bytes of printable characters, such as train.jsonl.",
    )


def empty_upload() -> InvalidRequest:
    return InvalidRequest("bytes must be at least 1.", param="bytes", remedy="Give the exact size of the file.")


def needs_presigned_upload(size: int, limit: int) -> PayloadTooLarge:
    return PayloadTooLarge(
        f"The file has {size} bytes; one request takes {limit}.",
        code="file_too_large",
        param="file",
        details={"bytes": size, "limit": limit},
        remedy="Ask for an upload address with POST /v1/files/presigned, PUT the file there, then complete the upload; "
        "or send it in parts through POST /v1/uploads.",
    )


def too_large(size: int, limit: int, param: str = "bytes") -> PayloadTooLarge:
    return PayloadTooLarge(
        f"{param}: the file has {size} bytes; the limit is {limit}.",
        code="file_too_large",
        param=param,
        details={"bytes": size, "limit": limit},
        remedy="Split the file, or train on a sample of it.",
    )


def too_large_to_repair(dataset: Dataset, what: str) -> PayloadTooLarge:
    """what: the rule that is broken, as the end of a sentence."""
    return PayloadTooLarge(
        f"file_id: {dataset.filename} has {dataset.bytes} bytes; {what}.",
        code="file_too_large",
        param="file_id",
        details={"bytes": dataset.bytes},
        remedy="Split the file, or repair it where you have it: python -m trainer.validate --repair.",
    )


def nothing_left(dataset: Dataset, dropped: Mapping[str, int]) -> Unprocessable:
    by_code = ", ".join(f"{code} {count}" for code, count in sorted(dropped.items(), key=lambda item: -item[1]))
    return Unprocessable(
        f"file_id: no row of {dataset.filename} would be left ({by_code or 'it is empty'}), so no file was made.",
        code="nothing_left",
        param="file_id",
        details={"dropped": dict(dropped)},
        remedy=f"Correct the rows by hand; GET /v1/files/{dataset.id}/report names them.",
    )


BEING_CHECKED = "The content has arrived and is being checked."


def content_missing(dataset: Dataset) -> Conflict:
    if dataset.unchecked:
        return Conflict(
            f"The content of {dataset.id} is being checked.",
            details={"current": dataset.status, "required": ["processed", "error"]},
            remedy="Ask for the file until its status is processed or error.",
            retry_after=30,
        )
    return Conflict(
        f"The content of {dataset.id} has not arrived.",
        code="content_missing",
        details={"current": dataset.status, "required": "content"},
        remedy="PUT the file to its upload address, then complete the upload.",
    )


def bucket_not_listed(bucket: str, param: str) -> InvalidRequest:
    return InvalidRequest(
        f"{param}: this platform does not read datasets from the bucket {quoted(bucket)}.",
        code="bucket_not_listed",
        param=param,
        remedy="Upload the file to POST /v1/files, or have the operator add the bucket to the setting dataset_buckets.",
    )


def no_object_named(bucket: str, key: str, param: str) -> InvalidRequest:
    """For an address without a key, or with a longer one than S3 has."""
    fault = f"the key {quoted(key)} is longer than 1,024 bytes" if key else "the address names no object"
    return InvalidRequest(
        f"{param}: {fault} of the bucket {bucket}.",
        code="dataset_not_found",
        param=param,
        remedy=f"Send s3://{bucket}/ and the key of a JSONL file.",
    )


def no_such_object(bucket: str, key: str, param: str) -> InvalidRequest:
    return InvalidRequest(
        f"{param}: the bucket {bucket} has no object {quoted(key)}.",
        code="dataset_not_found",
        param=param,
        remedy="Check the key; it is case-sensitive.",
    )


def access_denied(bucket: str, key: str, statement: str, param: str) -> InvalidRequest:
    """Prints the statement that the bucket's owner has to add."""
    return InvalidRequest(
        f"{param}: S3 denies this platform the object {quoted(key)} of the bucket {bucket}.",
        code="dataset_access_denied",
        param=param,
        details={"bucketPolicyStatement": statement},
        remedy=f"Add this statement to the bucket's policy: {statement}",
    )


def not_downloaded(url: str, why: str, param: str) -> InvalidRequest:
    return InvalidRequest(
        f"{param}: {quoted(url)} could not be downloaded: {why}.",
        code="dataset_not_downloaded",
        param=param,
        remedy="Check the address, or upload the file to POST /v1/files.",
    )


def too_slow(seconds: float, param: str) -> InvalidRequest:
    return InvalidRequest(
        f"{param}: the download took longer than {seconds:g} seconds.",
        code="dataset_not_downloaded",
        param=param,
        remedy="Upload the file by POST /v1/files/presigned, or put it into S3.",
    )


def unknown_reference(reference: str, param: str) -> InvalidRequest:
    if "://" in reference:
        message, remedy = "has a scheme that is not read", "Use s3:// or https://, or upload the file and use its id."
    else:
        message, remedy = "is neither the id nor the name of a file", "Upload the file first, or check the id."
    return InvalidRequest(
        f"{param}: {quoted(reference)} {message}.", code="dataset_not_found", param=param, remedy=remedy
    )


def not_ready(dataset: Dataset, param: str) -> InvalidRequest:
    happens, remedy = "has not arrived", "PUT the file to its upload address, then try again."
    if dataset.unchecked:
        happens, remedy = "is being checked", "Wait until the status of the file is processed, then try again."
    return InvalidRequest(
        f"{param}: the content of {dataset.filename} {happens}.",
        code="dataset_not_ready",
        param=param,
        details={"fileId": dataset.id},
        remedy=remedy,
    )


def no_rows(dataset: Dataset, param: str) -> InvalidRequest:
    return InvalidRequest(
        f"{param}: {dataset.filename} has the purpose {dataset.purpose}; nothing is trained on or judged by it.",
        code="invalid_dataset",
        param=param,
        details={"fileId": dataset.id},
        remedy="Upload the rows with the purpose fine-tune.",
    )


def bad_lines(dataset: Dataset, param: str) -> InvalidRequest:
    """Names the lines in the message, and the first findings in the details."""
    return InvalidRequest(
        f"{param}: {dataset.filename} cannot be trained on. {dataset.status_details}{_places(dataset)}",
        code="invalid_dataset",
        param=param,
        details={
            "fileId": dataset.id,
            "badLines": dataset.bad_lines,
            "counts": dataset.counts,
            "findingsCount": dataset.findings_count,
            "findings": dataset.findings,
        },
        remedy=f"Correct the file and upload it again; GET /v1/files/{dataset.id}/report holds every finding.",
    )


def verdict(counts: Mapping[str, int], bad_lines: int) -> str:
    """One sentence over a file's errors, most frequent first."""
    if "empty_file" in counts:
        return "The file has no rows."
    by_code = ", ".join(f"{code} {count}" for code, count in sorted(counts.items(), key=lambda item: -item[1]))
    return f"{bad_lines} bad line{'s' if bad_lines != 1 else ''} ({by_code})."


def _places(dataset: Dataset) -> str:
    lines = sorted({f["line"] for f in dataset.findings if f["line"] and f.get("level") != "warning"})
    if not lines:
        return ""
    more = ", …" if dataset.bad_lines > min(len(lines), _NAMED_LINES) else ""
    return f" Lines: {', '.join(map(str, lines[:_NAMED_LINES]))}{more}."
