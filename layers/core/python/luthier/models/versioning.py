"""Semantic versions of models (https://semver.org), as labels and in their order. Pure."""

import re

from luthier.errors import InvalidRequest

LONGEST = 64
_NUMBER = r"(0|[1-9]\d*)"
_PART = r"(?:0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)"
_LABEL = re.compile(rf"v?{_NUMBER}\.{_NUMBER}\.{_NUMBER}(?:-({_PART}(?:\.{_PART})*))?", re.ASCII)

Order = tuple[int, int, int, bool, tuple[tuple[bool, int, str], ...]]


def label(spelled: str) -> str:
    """The label of a version, as `v1.2.0` or `v2.0.0-rc.1`. Raises InvalidRequest."""
    if len(spelled) > LONGEST or not _LABEL.fullmatch(spelled):
        raise InvalidRequest(
            f"version is {spelled[:LONGEST]!r}; it must be a semantic version of at most {LONGEST} characters.",
            param="version",
            remedy="Send three numbers as in v1.2.0, and after a hyphen a pre-release as in v2.0.0-rc.1.",
        )
    return f"v{spelled.removeprefix('v')}"


def order(label: str) -> Order:
    """What labels sort by: a pre-release comes before its release, and numbers are compared as such."""
    found = _LABEL.fullmatch(label)
    assert found is not None
    major, minor, patch, pre = found.groups()
    parts = tuple(_part(part) for part in pre.split(".")) if pre else ()
    return int(major), int(minor), int(patch), pre is None, parts


def _part(text: str) -> tuple[bool, int, str]:
    """Numbers come before words."""
    return (False, int(text), "") if text.isdigit() else (True, 0, text)
