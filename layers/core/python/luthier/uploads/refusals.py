"""Every way in which a request about uploads is refused, in words."""

from luthier.errors import InvalidRequest, NotFound, PayloadTooLarge, quoted
from luthier.uploads.entity import CANCELLED, COMPLETED, EXPIRED, MOST_BYTES, MOST_PARTS, PART_BYTES, Upload

_WHAT_NOW = {
    COMPLETED: "Use its file, or begin another upload.",
    CANCELLED: "Begin another upload.",
    EXPIRED: "An upload takes parts for an hour; begin another.",
}


def not_found(upload_id: str) -> NotFound:
    return NotFound(f"No upload has the id {quoted(upload_id)}.", code="upload_not_found", remedy="Check the id.")


def too_large(size: int) -> PayloadTooLarge:
    return PayloadTooLarge(
        f"bytes: the file has {size} bytes; an upload in parts takes {MOST_BYTES}.",
        code="file_too_large",
        param="bytes",
        details={"bytes": size, "limit": MOST_BYTES},
        remedy="Ask for an upload address with POST /v1/files/presigned, PUT the file there, then complete it.",
    )


def part_too_large(size: int) -> PayloadTooLarge:
    return PayloadTooLarge(
        f"data: the part has {size} bytes; a part takes {PART_BYTES}.",
        code="file_too_large",
        param="data",
        details={"bytes": size, "limit": PART_BYTES},
        remedy="Send smaller parts: part_size=4_000_000 in upload_file_chunked of OpenAI's client.",
    )


def empty_part() -> InvalidRequest:
    return InvalidRequest("data: the part is empty.", param="data", remedy="Send at least one byte.")


def not_pending(upload: Upload, status: str) -> InvalidRequest:
    return InvalidRequest(
        f"The upload {upload.id} is {status}.",
        code="upload_not_pending",
        details={"current": status, "required": "pending"},
        remedy=_WHAT_NOW[status],
    )


def parts_out_of_number(count: int) -> InvalidRequest:
    return InvalidRequest(
        f"part_ids names {count} parts; it must name 1 to {MOST_PARTS}.",
        code="invalid_parts",
        param="part_ids",
        remedy="Send larger parts." if count else "Name the parts of the file in their order.",
    )


def unknown_part(upload: Upload, number: int, part_id: str) -> InvalidRequest:
    return InvalidRequest(
        f"part_ids[{number}]: the upload {upload.id} has no part {quoted(part_id)}.",
        code="invalid_parts",
        param=f"part_ids[{number}]",
        remedy="Name the ids that the parts were answered with.",
    )


def repeated_part(number: int, part_id: str) -> InvalidRequest:
    return InvalidRequest(
        f"part_ids[{number}]: {quoted(part_id)} is named before.",
        code="invalid_parts",
        param=f"part_ids[{number}]",
        remedy="Name each part once; upload the same bytes as two parts where the file repeats them.",
    )


def other_size(upload: Upload, size: int) -> InvalidRequest:
    return InvalidRequest(
        f"part_ids: the parts have {size} bytes together; the upload was announced with {upload.bytes}.",
        code="invalid_parts",
        param="part_ids",
        details={"bytes": size, "announced": upload.bytes},
        remedy="Add the parts that are missing, or begin an upload with the right size.",
    )


def other_md5(found: str, told: str) -> InvalidRequest:
    return InvalidRequest(
        f"md5: the content has the MD5 {found}, not {told}.",
        code="md5_mismatch",
        param="md5",
        details={"md5": found},
        remedy="Check the order of the parts, or send them again.",
    )
