"""What the trainer leaves of a file of three rows: the platform's tests serve it, the trainer's compare its keys."""

from typing import Any

_TRUNCATED = {
    "line": 2,
    "code": "truncated",
    "pointer": "",
    "message": "The row has 4 tokens, of which 1 are cut off.",
    "fix": "Raise max_sequence_length above 3, or shorten the row.",
    "level": "warning",
}
_LONG = {
    "line": 2,
    "risk": "truncated",
    "format": "messages",
    "message": None,
    "sequences": [
        {
            "part": "conversation",
            "text": "Hi there, you",
            "tokens": {
                "ids": [1, 2, 3, 4],
                "strings": ["Hi", " there", ",", " you"],
                "characters": [[0, 2], [2, 8], [8, 9], [9, 13]],
            },
            "loss_mask": [0, 1, 1, 0],
            "trained": [{"characters": [2, 9], "tokens": [1, 3], "text": " there,"}],
            "truncation": {"token": 3, "character": 9, "tokens": 1, "trained_tokens": 1, "text": " you"},
        }
    ],
    "findings": [_TRUNCATED],
}
_SHORT = {"line": 1, "risk": "none", "format": "messages", "message": None, "sequences": [], "findings": []}
PREVIEW: dict[str, Any] = {
    "method": "sft",
    "max_sequence_length": 3,
    "template_sha256": "c" * 64,
    "examples": 3,
    "tokens": 9,
    "trained_tokens": 5,
    "truncated_rows": 1,
    "truncated_tokens": 1,
    "dropped_rows": 0,
    "longest_row_tokens": 4,
    "counts": {"truncated": 1},
    "rows": [_LONG, _SHORT, _SHORT | {"line": 3}],
}
