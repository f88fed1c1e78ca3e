"""AWS's event-stream encoding, the way in which InvokeEndpointWithResponseStream answers.

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/RESTSelectObjectAppendix.html (the framing is the same).
"""

import json
import struct
import zlib

CONTENT_TYPE = "application/vnd.amazon.eventstream"
_STRING = 7


def payload_part(part: bytes) -> bytes:
    """The event that carries bytes of a container's answer."""
    return _message({":message-type": "event", ":event-type": "PayloadPart"}, "application/octet-stream", part)


def model_stream_error(code: str, message: str) -> bytes:
    """The exception that ends a broken answer; code: ModelInvocationTimeExceeded or StreamBroken."""
    said = json.dumps({"ErrorCode": code, "Message": message}).encode()
    return _message({":message-type": "exception", ":exception-type": "ModelStreamError"}, "application/json", said)


def _message(headers: dict[str, str], content_type: str, payload: bytes) -> bytes:
    packed = b"".join(_header(name, value) for name, value in {**headers, ":content-type": content_type}.items())
    prelude = struct.pack(">II", len(packed) + len(payload) + 16, len(packed))
    content = prelude + struct.pack(">I", zlib.crc32(prelude)) + packed + payload
    return content + struct.pack(">I", zlib.crc32(content))


def _header(name: str, value: str) -> bytes:
    return struct.pack(">B", len(name)) + name.encode() + struct.pack(">BH", _STRING, len(value)) + value.encode()
