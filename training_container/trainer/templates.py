"""From rows to the text the model sees, and which characters of it are trained: the assistant's, nothing else.

One path for all methods: a preference is two conversations that differ in their last turn. The base model's own chat
template is used as it is, in training as in serving, so both see the same text. A template that carries
{% generation %} marks says itself what the assistant wrote. For any other, the text is rendered once up to where the
assistant begins to speak and once up to where it has spoken: what lies between is trained. That holds for every
assistant turn of a conversation. A template that shows earlier turns differently once later ones follow (some drop the
reasoning) cannot be read that way; such a conversation becomes one example per assistant turn.

To render every turn with all before it takes time in the square of a conversation's length. Where there are many, each
is rendered behind the first one only; if all that they add makes up the whole text, that is where they lie in it.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from luthier.datasets.rows import Row
from trainer import conversations
from trainer.conversations import Conversation, Turn
from trainer.failures import Failure

Span = tuple[int, int]

# For a base model without a chat template: prompt and completion are simply joined.
PLAIN_TEMPLATE = (
    "{% for message in messages %}{{ message['content'] }}"
    "{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}"
)
_GENERATION_MARK = re.compile(r"\{%-?\s*generation\s*-?%\}")
_NAMED_TOKENS = ("bos_token", "eos_token", "unk_token", "sep_token", "cls_token", "mask_token")
# Below, a conversation is rendered anew for each turn that is taught.
_MANY_TURNS = 8
# Of all the examples that one row becomes, where each turn is one.
MOST_CHARACTERS = 1 << 24
_NO_TOOLS = "Choose a base model whose chat template supports tools, or write the calls into the content as text."


@dataclass(frozen=True)
class Rendered:
    """A text, and the ranges of its characters that carry loss."""

    text: str
    trained: list[Span]


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer of a model folder. Raises Failure(bad_base_model) if there is none, or its template is broken."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise Failure("bad_base_model", f"The base model's tokenizer cannot be loaded: {error}") from error
    named = tokenizer.chat_template
    for template in named.values() if isinstance(named, dict) else filter(None, [named]):
        _require_sound(template)
    return tokenizer


def _require_sound(template: str) -> None:
    from jinja2 import TemplateSyntaxError
    from transformers.utils.chat_template_utils import render_jinja_template

    try:
        # No conversation: the template is compiled, which is all.
        render_jinja_template([], chat_template=template)
    except TemplateSyntaxError as error:
        reason = (error.message or "").removesuffix(".")
        message = f"The base model's chat template is broken in line {error.lineno}: {reason}."
        hint = "Stage a revision of the base model with a chat template that is whole."
        raise Failure("bad_base_model", message, hint) from error


def ensure_template(tokenizer: Any, row: Row) -> None:
    """Give a tokenizer that has none the plain template. Raises Failure(template_missing) for conversations."""
    if tokenizer.chat_template not in (None, "", PLAIN_TEMPLATE):
        return
    if conversations.is_conversational(row):
        raise Failure("template_missing", "The base model has no chat template, so conversations cannot be rendered.")
    tokenizer.chat_template = PLAIN_TEMPLATE


def render(tokenizer: Any, row: Row) -> list[Rendered]:
    """The training texts of one row; of a preference, the chosen before the rejected one.

    Raises Failure(template_missing), or what the template itself raises: jinja2.TemplateError or TypeError.
    """
    ensure_template(tokenizer, row)
    if row.format == "text":
        text = row.fields["text"] + (tokenizer.eos_token or "")
        return [Rendered(text, [(0, len(text))])]
    return [rendered for conversation in conversations.of(row) for rendered in _render(tokenizer, conversation)]


def prompt_and_reference(tokenizer: Any, row: Row) -> tuple[str, str] | None:
    """The text a model is to go on from, and the answer it should give, without its stop token.

    The answer is the last one taught, of a preference the chosen one. None where there is none: plain text, and
    completions that are to be avoided. Raises as `render` does.
    """
    if row.format == "text" or row.fields.get("label") is False:
        return None
    ensure_template(tokenizer, row)
    conversation = conversations.of(row)[0]
    if not conversation.turns:
        return None
    before, text = _around(tokenizer, conversation, conversation.turns[-1])
    if not text.startswith(before):
        return before, conversation.messages[-1]["content"]
    answer = text[len(before) : _end_of_turn(tokenizer, text)]
    stop = next((token for token in tokenizer.all_special_tokens if token and answer.endswith(token)), "")
    return before, answer.removesuffix(stop)


def fingerprint(tokenizer: Any) -> str:
    """Hex SHA-256 of all that decides which tokens a row becomes: chat template, tokenizer and special tokens.

    It is computed from their content, not from files, so saving and loading, which rewrites those, does not change it.
    """
    core = json.loads(tokenizer.backend_tokenizer.to_str())
    # What the last call asked for, not what the tokenizer is.
    core.update(truncation=None, padding=None)
    # No pad token: trainers and servers lend one to a tokenizer that has none, and no text depends on it.
    named = {name: getattr(tokenizer, name) for name in _NAMED_TOKENS}
    content = {"chat_template": tokenizer.chat_template or PLAIN_TEMPLATE, "tokenizer": core, "special_tokens": named}
    return hashlib.sha256(json.dumps(content, sort_keys=True, ensure_ascii=True).encode()).hexdigest()


def _render(tokenizer: Any, conversation: Conversation) -> list[Rendered]:
    if not conversation.turns:
        return [Rendered(_text(tokenizer, conversation, len(conversation.messages)), [])]
    if conversation.tools:
        _require_tools(tokenizer, conversation)
    if _GENERATION_MARK.search(tokenizer.get_chat_template(tools=conversation.tools)):
        rendered = _render_marked(tokenizer, conversation)
        if rendered:
            return [rendered]
    return _render_turns(tokenizer, conversation)


def _render_marked(tokenizer: Any, conversation: Conversation) -> Rendered | None:
    """None if the marks do not tell which of the assistant's turns are taught."""
    from transformers.utils.chat_template_utils import render_jinja_template

    stop = conversation.turns[-1][1]
    texts, found = render_jinja_template(
        conversations=[conversation.messages[:stop]],
        tools=conversation.tools,
        chat_template=tokenizer.get_chat_template(tools=conversation.tools),
        return_assistant_tokens_mask=True,
        **tokenizer.special_tokens_map,
    )
    speaking = [index for index in conversation.speaking if index < stop]
    spans = [tuple(span) for span in found[0]]
    taught = [any(first <= index < end for first, end in conversation.turns) for index in speaking]
    if len(spans) != len(speaking):
        return Rendered(texts[0], spans) if all(taught) else None
    for index, (start, end) in zip(speaking, spans, strict=True):
        _require_calls(conversation, (index, index + 1), texts[0][start:end])
    return Rendered(texts[0], [span for span, chosen in zip(spans, taught, strict=True) if chosen])


def _render_turns(tokenizer: Any, conversation: Conversation) -> list[Rendered]:
    # What follows the last turn taught is never trained and nothing trained depends on it.
    last = _render_turn(tokenizer, conversation, conversation.turns[-1])
    earlier = _earlier_by_pieces(tokenizer, conversation, last) if len(conversation.turns) >= _MANY_TURNS else None
    if earlier is None:
        earlier = []
        for turn in conversation.turns[:-1]:
            example = _render_turn(tokenizer, conversation, turn)
            if not last.text.startswith(example.text):
                return [*_render_apart(tokenizer, conversation, len(last.text)), last]
            earlier += example.trained
    return [Rendered(last.text, earlier + last.trained)]


def _earlier_by_pieces(tokenizer: Any, conversation: Conversation, last: Rendered) -> list[Span] | None:
    """What is trained before the last turn; None unless the text of the last turn is the sum of what each turn adds.

    A template that looks further back than to the first turn, or shows an end differently, does not add up so. A turn
    in the middle is also compared with what it is behind all that comes before it.
    """
    from jinja2 import TemplateError

    first, *rest = conversation.turns
    head = conversation.messages[: first[1]]
    try:
        opening = _render_turn(tokenizer, conversation, first)
        trained, end, behind = list(opening.trained), len(opening.text), first[1]
        if not last.text.startswith(opening.text):
            return None
        for number, turn in enumerate(rest, start=1):
            messages = head + conversation.messages[behind : turn[1]]
            start = len(messages) - (turn[1] - turn[0])
            piece = Conversation(messages, [(start, len(messages))], conversation.tools)
            shown = _render_turn(tokenizer, piece, piece.turns[0])
            added = shown.text[len(opening.text) :]
            if not shown.text.startswith(opening.text) or not last.text.startswith(added, end):
                return None
            moved = end - len(opening.text)
            trained += [(begin + moved, stop + moved) for begin, stop in shown.trained]
            end, behind = end + len(added), turn[1]
            if number == len(rest) // 2:
                exact = _render_turn(tokenizer, conversation, turn)
                if (exact.text, exact.trained) != (last.text[:end], trained[-1:]):
                    return None
    except (Failure, TemplateError, TypeError):
        return None
    return trained[:-1] if end == len(last.text) and trained[-1:] == last.trained else None


def _render_apart(tokenizer: Any, conversation: Conversation, characters: int) -> Iterator[Rendered]:
    """All turns but the last, which has so many characters. Raises Failure(bad_dataset) if they become too many."""
    for turn in conversation.turns[:-1]:
        example = _render_turn(tokenizer, conversation, turn)
        characters += len(example.text)
        if characters > MOST_CHARACTERS:
            message = (
                "The base model's chat template rewrites earlier turns, so that each turn becomes an example of its "
                f"own; those of this conversation have more than {MOST_CHARACTERS} characters."
            )
            raise Failure("bad_dataset", message, "Split the conversation into shorter ones.")
        yield example


def _render_turn(tokenizer: Any, conversation: Conversation, turn: Turn) -> Rendered:
    before, text = _around(tokenizer, conversation, turn)
    if not text.startswith(before):
        raise Failure("template_missing", "The base model's chat template hides where the assistant begins to speak.")
    _require_calls(conversation, turn, text[len(before) :])
    return Rendered(text, [(len(before), _end_of_turn(tokenizer, text))])


def _around(tokenizer: Any, conversation: Conversation, turn: Turn) -> tuple[str, str]:
    """The text up to where the assistant begins to speak, and the one up to where it has spoken."""
    before = _text(tokenizer, conversation, turn[0], add_generation_prompt=True)
    return before, _text(tokenizer, conversation, turn[1])


def _text(tokenizer: Any, conversation: Conversation, stop: int, add_generation_prompt: bool = False) -> str:
    if not stop:
        # Most templates index messages[0]; a conversation that the assistant opens has no text before it.
        return ""
    return tokenizer.apply_chat_template(
        conversation.messages[:stop],
        tools=conversation.tools,
        tokenize=False,
        add_generation_prompt=add_generation_prompt,
    )


def _end_of_turn(tokenizer: Any, text: str) -> int:
    """Where the turn's stop token ends: the line break that templates put behind it belongs to nobody."""
    end = len(text.rstrip())
    return end if text[:end].endswith(tuple(tokenizer.all_special_tokens)) else len(text)


def _require_tools(tokenizer: Any, conversation: Conversation) -> None:
    # Before the first turn nothing can name a tool but its description.
    first = conversation.turns[0][0] or conversation.turns[0][1]
    text = _text(tokenizer, conversation, first, add_generation_prompt=True)
    for tool in conversation.tools or ():
        function = tool.get("function", tool)
        parameters = (function.get("parameters") or {}).get("properties") or {}
        _require(text, [function["name"], *parameters], f"the description of the tool {function['name']!r}")


def _require_calls(conversation: Conversation, turn: Turn, said: str) -> None:
    for function in conversation.calls(turn):
        _require(said, [function["name"], *function["arguments"]], f"the call of the tool {function['name']!r}")


def _require(text: str, names: list[str], what: str) -> None:
    for name in names:
        if not any(form in text for form in (name, json.dumps(name)[1:-1], json.dumps(name, ensure_ascii=False)[1:-1])):
            raise Failure("template_missing", f"The base model's chat template leaves out {what}.", _NO_TOOLS)
