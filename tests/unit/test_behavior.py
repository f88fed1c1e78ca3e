"""What a behaviour spec becomes, as the playground's pages compile it."""

import json
from typing import Any

import pytest

from luthier.models import behavior

SPEC = {
    "id": "5f0c",
    "name": "Support",
    "base_model": "Qwen/Qwen3.5-2B",
    "system_prompt": "  You sort tickets.\n",
    "guidelines": ["Be brief.", "Answer in JSON."],
    "constraints": ["Never mention prices."],
    "examples": [{"input": "a", "output": "b"}],
}
COMPILED = "You sort tickets.\n\nGuidelines:\n- Be brief.\n- Answer in JSON.\n\nConstraints:\n- Never mention prices."


def test_the_parts_come_in_their_order_with_a_blank_line_between() -> None:
    assert behavior.compiled(json.dumps(SPEC)) == COMPILED


@pytest.mark.parametrize(
    ("spec", "prompt"),
    [
        ({}, None),
        ({"system_prompt": " ", "guidelines": [], "constraints": []}, None),
        ({"system_prompt": None, "guidelines": None}, None),
        ({"constraints": ["No."]}, "Constraints:\n- No."),
        ({"guidelines": ["Yes."], "system_prompt": "Hi"}, "Hi\n\nGuidelines:\n- Yes."),
    ],
)
def test_what_is_empty_is_left_out(spec: dict[str, Any], prompt: str | None) -> None:
    assert behavior.compiled(json.dumps(spec)) == prompt


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "no JSON"),
        ("[]", "object"),
        ('{"system_prompt": 1}', "system_prompt"),
        ('{"guidelines": "x"}', "guidelines"),
        ('{"constraints": [1]}', "constraints"),
    ],
)
def test_what_is_no_spec_says_what_it_must_be(text: str, says: str) -> None:
    with pytest.raises(behavior.BadSpec, match=says):
        behavior.compiled(text)


def test_a_request_has_one_system_message_with_the_spec_first() -> None:
    user = {"role": "user", "content": "hello"}
    assert behavior.applied("Spec", [user]) == [{"role": "system", "content": "Spec"}, user]
    own = {"role": "system", "content": "Mine"}
    assert behavior.applied("Spec", [own, user]) == [{"role": "system", "content": "Spec\n\nMine"}, user]
    assert behavior.applied(None, [user]) == [user]
