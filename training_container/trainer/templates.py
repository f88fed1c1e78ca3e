"""From rows to the text the model sees, and which characters of it are trained: the assistant's, nothing else.

The base model's own chat template is used as it is, in training as in serving, so both see the same text. A template
that carries {% generation %} marks says itself what the assistant wrote. For any other, the text is rendered once up to
where the assistant begins to speak and once up to where it has spoken: what lies between is trained. That holds for
every assistant turn of a conversation. A template that shows earlier turns differently once later ones follow (some
drop the reasoning) cannot be read that way; such a conversation becomes one example per assistant turn.
"""

import re
from dataclasses import dataclass
from typing import Any

from trainer.failures import Failure

Message = dict[str, str]
Span = tuple[int, int]

# For a base model without a chat template: prompt and completion are simply joined.
PLAIN_TEMPLATE = (
    "{% for message in messages %}{{ message['content'] }}"
    "{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}"
)
_GENERATION_MARK = re.compile(r"\{%-?\s*generation\s*-?%\}")
_PAIRS = {"prompt_completion": ("prompt", "completion"), "input_output": ("input", "output")}


@dataclass(frozen=True)
class Rendered:
    """A text, and the ranges of its characters that carry loss."""

    text: str
    trained: list[Span]


def ensure_template(tokenizer: Any, row_format: str) -> None:
    """Give a tokenizer that has none the plain template. Raises Failure(template_missing) for conversations."""
    if tokenizer.chat_template:
        return
    if row_format == "messages":
        raise Failure("template_missing", "The base model has no chat template, so conversations cannot be rendered.")
    tokenizer.chat_template = PLAIN_TEMPLATE


def render(tokenizer: Any, row_format: str, fields: dict[str, Any]) -> list[Rendered]:
    """The training texts of one row. Raises Failure(template_missing), or what the template itself raises."""
    if row_format == "text":
        text = fields["text"] + (tokenizer.eos_token or "")
        return [Rendered(text, [(0, len(text))])]
    messages = _messages(row_format, fields)
    if _GENERATION_MARK.search(tokenizer.chat_template):
        return [_render_marked(tokenizer, messages)]
    return _render_turns(tokenizer, messages)


def _messages(row_format: str, fields: dict[str, Any]) -> list[Message]:
    if row_format == "messages":
        return [{"role": message["role"], "content": message["content"]} for message in fields["messages"]]
    asked, answered = _PAIRS[row_format]
    return [{"role": "user", "content": fields[asked]}, {"role": "assistant", "content": fields[answered]}]


def _render_marked(tokenizer: Any, messages: list[Message]) -> Rendered:
    from transformers.utils.chat_template_utils import render_jinja_template

    texts, spans = render_jinja_template(
        conversations=[messages],
        chat_template=tokenizer.chat_template,
        return_assistant_tokens_mask=True,
        **tokenizer.special_tokens_map,
    )
    return Rendered(texts[0], [tuple(span) for span in spans[0]])


def _render_turns(tokenizer: Any, messages: list[Message]) -> list[Rendered]:
    turns = [index for index, message in enumerate(messages) if message["role"] == "assistant"]
    # What follows the last assistant turn is never trained and nothing trained depends on it.
    full = _text(tokenizer, messages[: turns[-1] + 1])
    examples = [_render_turn(tokenizer, messages, turn) for turn in turns]
    if all(full.startswith(example.text) for example in examples):
        return [Rendered(full, [span for example in examples for span in example.trained])]
    return examples


def _render_turn(tokenizer: Any, messages: list[Message], turn: int) -> Rendered:
    before = _text(tokenizer, messages[:turn], add_generation_prompt=True)
    text = _text(tokenizer, messages[: turn + 1])
    if not text.startswith(before):
        raise Failure("template_missing", "The base model's chat template hides where the assistant begins to speak.")
    return Rendered(text, [(len(before), _end_of_turn(tokenizer, text))])


def _text(tokenizer: Any, messages: list[Message], add_generation_prompt: bool = False) -> str:
    if not messages:
        # Most templates index messages[0]; a conversation that the assistant opens has no text before it.
        return ""
    return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=add_generation_prompt)


def _end_of_turn(tokenizer: Any, text: str) -> int:
    """Where the turn's stop token ends: the line break that templates put behind it belongs to nobody."""
    end = len(text.rstrip())
    return end if text[:end].endswith(tuple(tokenizer.all_special_tokens)) else len(text)
