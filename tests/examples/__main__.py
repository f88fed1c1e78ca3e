"""Writes functions/api/examples.json from the scenarios: `python -m tests.examples`, or `make examples`."""

import json

import pytest

from functions.api.build_openapi import EXAMPLES
from tests.conftest import leave_aws
from tests.examples.recording import Example, recorded
from tests.examples.scenarios import SCENARIOS


def rendered() -> str:
    shown: set[str] = set()
    groups: dict[str, dict[str, Example]] = {}
    for scenario in SCENARIOS:
        told = recorded(scenario)
        groups[scenario.__name__] = {name: told[name] for name in sorted(told.keys() - shown)}
        shown |= told.keys()
    return json.dumps(groups, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    with pytest.MonkeyPatch.context() as patch:
        leave_aws(patch)
        EXAMPLES.write_text(rendered())
