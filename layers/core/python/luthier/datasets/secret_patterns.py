"""Texts that are likely secrets: keys and tokens in the shapes that their issuers document.

A finding says what kind of secret lies where, never the secret.
"""

import re
from collections.abc import Iterator

# (what it is, pattern, the literals of which every match has one)
_KINDS = [
    ("an AWS access key id", r"\bAKIA[A-Z2-7]{16}\b", ("AKIA",)),
    ("a private key", r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----(?:\s|\\[rn])*[A-Za-z0-9+/]{20}", ("PRIVATE KEY-",)),
    ("a GitHub token", r"\bgh[pousr]_[A-Za-z0-9]{36}", ("ghp_", "gho_", "ghu_", "ghs_", "ghr_")),
    ("a GitHub token", r"\bgithub_pat_[A-Za-z0-9_]{22}", ("github_pat_",)),
    ("a GitLab token", r"\bglpat-[A-Za-z0-9_-]{20}", ("glpat-",)),
    ("a Slack token", r"\bxox[bp]-[0-9A-Za-z-]{16}", ("xoxb-", "xoxp-")),
    ("an API key of the form sk-…", r"\bsk-(?=[A-Za-z_-]*[0-9])[A-Za-z0-9_-]{20}", ("sk-",)),
    ("a Hugging Face token", r"\bhf_[A-Za-z0-9]{30}", ("hf_",)),
    ("a Google API key", r"\bAIza[0-9A-Za-z_-]{35}", ("AIza",)),
    ("a Stripe key", r"\b[rs]k_live_[0-9A-Za-z]{20}", ("k_live_",)),
    ("a JSON Web Token", r"\beyJ[A-Za-z0-9_-]{16,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10}", ("eyJ",)),
]
_PATTERNS = [(kind, re.compile(pattern)) for kind, pattern, _ in _KINDS]
_MARKS = [mark for _, _, marks in _KINDS for mark in marks]
_TURNS = tuple(bracket + word for bracket in (b"<", b"u003c", b"u003C") for word in (b"start_", b"end_"))
# By a byte that is rare in prose, the marks that have it, and how many bytes of them come after it: one byte is found
# far faster than several.
# Those of control tokens are looked for on the way; some encoders escape the angle bracket.
_MARKS_BY_BYTE = {
    b"|": (0, (b"<|", b"u003c|", b"u003C|")),
    b"_": (0, (b"ghp_", b"gho_", b"ghu_", b"ghs_", b"ghr_", b"_pat_", b"hf_", b"k_live_", *_TURNS)),
    b"-": (0, (b"PRIVATE KEY-", b"glpat-", b"xoxb-", b"xoxp-", b"sk-")),
    b"K": (2, (b"AKIA",)),
    b"J": (0, (b"eyJ",)),
    b"z": (1, (b"AIza",)),
}


def places_to_look(block: bytes) -> list[int]:
    """Where in JSON a text may hold a secret or a control token, in order; nowhere in nearly all of it."""
    return sorted(
        place for byte, (after, marks) in _MARKS_BY_BYTE.items() for place in _places(block, byte, after, marks)
    )


def _places(block: bytes, byte: bytes, after: int, marks: tuple[bytes, ...]) -> Iterator[int]:
    place = block.find(byte)
    while place >= 0:
        if block.endswith(marks, 0, place + after + 1):
            yield place
        place = block.find(byte, place + 1)


def secrets_in(text: str) -> Iterator[str]:
    """The kinds of secrets in a text, each once: `a GitHub token`."""
    if any(mark in text for mark in _MARKS):
        yield from dict.fromkeys(kind for kind, pattern in _PATTERNS if pattern.search(text))
