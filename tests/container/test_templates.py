import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from luthier.datasets.rows import Row
from tests.container.rows import (
    CHAT_PREFERENCE,
    CONVERSATION,
    PREFERENCE,
    TOOL_TEMPLATE,
    TOOL_USE,
    UNPAIRED,
    WEATHER,
    row,
)
from tests.container.test_data import FORGETFUL
from trainer import templates
from trainer.failures import Failure
from trainer.templates import PLAIN_TEMPLATE, Rendered, fingerprint, prompt_and_reference, render

MARKED = TOOL_TEMPLATE.replace(
    "{{ message.content }}",
    "{% if message.role == 'assistant' %}{% generation %}{{ message.content }}{% endgeneration %}"
    "{% else %}{{ message.content }}{% endif %}",
)
ASKED = "<|im_start|>user\n2+2?<|im_end|>\n<|im_start|>assistant\n"


def trained(rendered: list[Rendered]) -> list[str]:
    return [one.text[start:end] for one in rendered for start, end in one.trained]


def unmarked_messages(**weights: int) -> dict[str, Any]:
    """The conversation with a weight on its first or second answer."""
    places = {"first": 2, "second": 4}
    messages = [dict(message) for message in CONVERSATION["messages"]]
    for name, weight in weights.items():
        messages[places[name]]["weight"] = weight
    return {"messages": messages}


@pytest.mark.parametrize("template", [None, MARKED])
def test_a_message_of_weight_0_is_shown_but_not_trained(tokenizer: Any, template: str | None) -> None:
    tokenizer.chat_template = template or tokenizer.chat_template
    whole, light = render(tokenizer, row(CONVERSATION)), render(tokenizer, row(unmarked_messages(first=0, second=1)))
    assert [one.text for one in light] == [one.text for one in whole]
    assert trained(light) == trained(whole)[1:]
    assert trained(render(tokenizer, row(unmarked_messages(second=0)))) == trained(whole)[:1]


def test_marks_that_do_not_fit_the_turns_give_way_when_a_turn_is_left_out(tokenizer: Any) -> None:
    tokenizer.chat_template = MARKED.replace("{% generation %}", "{% generation %}{% endgeneration %}{% generation %}")
    assert trained(render(tokenizer, row(unmarked_messages(first=0)))) == ["It comes on Tuesday.<|im_end|>"]


def test_calls_of_tools_are_trained_and_their_results_are_not(tokenizer: Any) -> None:
    tokenizer.chat_template = TOOL_TEMPLATE
    rendered = render(tokenizer, row(TOOL_USE))
    assert trained(rendered) == [
        '<tool_call>{"name": "get_weather", "arguments": {"city": "Bergen"}}</tool_call><|im_end|>',
        "Yes, it rains.<|im_end|>",
    ]
    assert '"description": "The weather of a city."' in rendered[0].text
    assert "<|im_start|>tool\n8 degrees, rain<|im_end|>" in rendered[0].text


def test_arguments_are_rendered_alike_as_text_and_as_an_object(tokenizer: Any) -> None:
    tokenizer.chat_template = TOOL_TEMPLATE
    first, call, *rest = TOOL_USE["messages"]
    function = {"name": "get_weather", "arguments": {"city": "Bergen"}}
    call = {**call, "tool_calls": [{"id": "call_1", "type": "function", "function": function}]}
    given = {**TOOL_USE, "messages": [first, call, *rest]}
    assert render(tokenizer, row(given)) == render(tokenizer, row(TOOL_USE))


def test_a_template_that_leaves_out_the_tools_is_noticed(tokenizer: Any) -> None:
    row_with_tools = {"messages": TOOL_USE["messages"][:1] + TOOL_USE["messages"][-1:], "tools": [WEATHER]}
    with pytest.raises(Failure, match="leaves out the description of the tool 'get_weather'") as caught:
        render(tokenizer, row(row_with_tools))
    assert caught.value.code == "template_missing"
    assert "supports tools" in caught.value.hint


@pytest.mark.parametrize("template", [TOOL_TEMPLATE, MARKED])
def test_a_template_that_leaves_out_the_calls_is_noticed(tokenizer: Any, template: str) -> None:
    tokenizer.chat_template = template.replace("message.tool_calls or []", "[]")
    with pytest.raises(Failure, match="leaves out the call of the tool 'get_weather'") as caught:
        render(tokenizer, row(TOOL_USE))
    assert caught.value.code == "template_missing"


def test_a_template_that_leaves_out_the_arguments_is_noticed(tokenizer: Any) -> None:
    tokenizer.chat_template = TOOL_TEMPLATE.replace("call.function | tojson", "call.function.name")
    with pytest.raises(Failure, match="leaves out the call of the tool 'get_weather'"):
        render(tokenizer, row(TOOL_USE))


@pytest.mark.parametrize("given", [PREFERENCE, CHAT_PREFERENCE])
def test_a_preference_is_one_prompt_with_two_answers(tokenizer: Any, given: dict[str, Any]) -> None:
    chosen, rejected = render(tokenizer, row(given))
    assert trained([chosen, rejected]) == ["4<|im_end|>", "5, I think<|im_end|>"]
    assert chosen.text[: chosen.trained[0][0]] == rejected.text[: rejected.trained[0][0]]
    assert chosen.text[: chosen.trained[0][0]].endswith(ASKED)


def test_an_answer_is_rendered_alike_by_every_method(tokenizer: Any) -> None:
    pair = render(tokenizer, row({"prompt": "2+2?", "completion": "4"}))
    assert render(tokenizer, row({"prompt": "2+2?", "completion": "4", "label": True})) == pair
    assert render(tokenizer, row(PREFERENCE))[:1] == pair


def test_strings_need_no_chat_template(tokenizer: Any) -> None:
    tokenizer.chat_template = None
    assert [one.text for one in render(tokenizer, row(PREFERENCE))] == ["2+2?4<|im_end|>", "2+2?5, I think<|im_end|>"]
    assert tokenizer.chat_template == PLAIN_TEMPLATE


@pytest.mark.parametrize("plain", [False, True])
def test_messages_need_a_chat_template(tokenizer: Any, plain: bool) -> None:
    tokenizer.chat_template = None
    if plain:
        render(tokenizer, row(PREFERENCE))
    with pytest.raises(Failure) as caught:
        render(tokenizer, row(CHAT_PREFERENCE))
    assert caught.value.code == "template_missing"


def test_the_reference_is_the_last_answer_and_the_prompt_all_before_it(tokenizer: Any) -> None:
    prompt, reference = prompt_and_reference(tokenizer, row(CONVERSATION)) or ("", "")
    assert reference == "It comes on Tuesday."
    assert prompt.endswith("Order 5518.<|im_end|>\n<|im_start|>assistant\n")
    assert prompt_and_reference(tokenizer, row(PREFERENCE)) == (ASKED, "4")
    assert prompt_and_reference(tokenizer, row({**UNPAIRED, "label": True})) == (ASKED, "5, I think")


def test_plain_text_and_bad_completions_have_no_reference(tokenizer: Any) -> None:
    assert prompt_and_reference(tokenizer, row({"text": "Once"})) is None
    assert prompt_and_reference(tokenizer, row(UNPAIRED)) is None


def test_saving_and_loading_keeps_the_fingerprint(tokenizer: Any, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    before = fingerprint(tokenizer)
    for generation in ("first", "second"):
        tokenizer.save_pretrained(tmp_path / generation)
        tokenizer = AutoTokenizer.from_pretrained(tmp_path / generation)
        assert fingerprint(tokenizer) == before


def test_another_process_computes_the_same_fingerprint(tokenizer: Any, tiny: Path) -> None:
    program = (
        "import sys; from transformers import AutoTokenizer; from trainer.templates import fingerprint; "
        "print(fingerprint(AutoTokenizer.from_pretrained(sys.argv[1])))"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tiny)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == fingerprint(tokenizer)


def test_use_does_not_change_the_fingerprint(tokenizer: Any) -> None:
    before = fingerprint(tokenizer)
    tokenizer("some text", truncation=True, max_length=2, padding="max_length")
    tokenizer.padding_side = "left"
    tokenizer.pad_token = tokenizer.eos_token
    assert fingerprint(tokenizer) == before


def test_a_tokenizer_without_template_has_the_plain_ones_fingerprint(tokenizer: Any) -> None:
    tokenizer.chat_template = None
    before = fingerprint(tokenizer)
    render(tokenizer, row(PREFERENCE))
    assert fingerprint(tokenizer) == before


def test_what_changes_the_tokens_changes_the_fingerprint(tokenizer: Any, tiny: Path) -> None:
    from transformers import AutoTokenizer

    def changed(change: Any) -> str:
        other = AutoTokenizer.from_pretrained(tiny)
        change(other)
        return fingerprint(other)

    prints = [
        fingerprint(tokenizer),
        changed(lambda other: setattr(other, "chat_template", TOOL_TEMPLATE)),
        changed(lambda other: other.add_tokens(["<new>"])),
        changed(lambda other: setattr(other, "eos_token", "<|endoftext|>")),
    ]
    assert len(set(prints)) == 4


# Renders an ordinary template's turns, and some that only look as if they added up.
ODD_TEMPLATES = {
    "ordinary": "",
    "numbered": "{% if loop.index is divisibleby 4 %}[{{ loop.index }}]{% endif %}",
    "told how many there are": "{% if messages|length > 30 %}[long]{% endif %}",
    "forgetful": "{% if loop.last and message.role == 'assistant' %}[thought]{% endif %}",
}


def long_conversation(turns: int, **first: Any) -> Row:
    told = [{"role": ("user", "assistant")[i % 2], "content": f"say {i * i % 7} "} for i in range(2 * turns)]
    told[0] |= first
    return row({"messages": told})


@pytest.mark.parametrize("name", ODD_TEMPLATES)
def test_long_conversations_are_rendered_as_turn_by_turn(
    tokenizer: Any, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    tokenizer.chat_template = TOOL_TEMPLATE.replace(
        "{{ message.content }}", ODD_TEMPLATES[name] + "{{ message.content }}"
    )
    fast = render(tokenizer, long_conversation(20))
    monkeypatch.setattr(templates, "_MANY_TURNS", 1_000)
    assert fast == render(tokenizer, long_conversation(20))
    assert len(fast) == {"forgetful": 20, "told how many there are": 20}.get(name, 1)


def test_a_turn_that_only_all_before_it_spoils_is_noticed(tokenizer: Any) -> None:
    odd = "{% if add_generation_prompt and 10 < messages|length and messages|length < 30 %}<|im_start|>{% endif %}"
    tokenizer.chat_template = TOOL_TEMPLATE + odd
    with pytest.raises(Failure, match="hides where the assistant begins"):
        render(tokenizer, long_conversation(20))


def test_a_long_conversation_takes_time_in_proportion_to_its_length(
    tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered: list[int] = []
    apply = tokenizer.apply_chat_template
    monkeypatch.setattr(
        tokenizer, "apply_chat_template", lambda given, **more: rendered.append(len(given)) or apply(given, **more)
    )
    (one,) = render(tokenizer, long_conversation(500))
    assert len(one.trained) == 500
    assert sum(rendered) < 7 * 1_000


def test_a_conversation_whose_turns_become_too_many_characters_is_refused(
    tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer.chat_template = FORGETFUL
    monkeypatch.setattr(templates, "MOST_CHARACTERS", 10_000)
    assert len(render(tokenizer, long_conversation(12))) == 12
    with pytest.raises(Failure, match="more than 10000 characters") as caught:
        render(tokenizer, long_conversation(40))
    assert (caught.value.code, caught.value.hint) == ("bad_dataset", "Split the conversation into shorter ones.")
