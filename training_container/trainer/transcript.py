"""One answer as it is generated, token by token: its text, where it ends, and what may be told of it already."""

from collections.abc import Callable, Collection
from typing import Any

from trainer import vocabulary
from trainer.logprobs import Choice
from trainer.sampling import Answer, Piece, Sampling, Token, TokenChoice
from trainer.tool_calls import overlap

# What bytes are decoded to that are no whole character yet.
_BROKEN = "\ufffd"


class Transcript:
    """`ends`: tokens that end an answer; `room`: the most tokens it may have; `hear` is told each piece.

    ids: the tokens so far.
    """

    def __init__(
        self,
        request: Sampling,
        tokenizer: Any,
        ends: Collection[int],
        room: int,
        hear: Callable[[Piece], None] | None = None,
    ) -> None:
        self._request = request
        self._tokenizer = tokenizer
        self._ends = ends
        self._room = room
        self._hear = hear
        self.ids: list[int] = []
        self._choices: list[TokenChoice] = []
        self._text = ""
        # Tokens from `_window` on are decoded anew; those before `_read` are in the text.
        self._window = self._read = 0
        self._told = self._told_choices = 0
        self.finish_reason: str | None = None

    def add(self, token: int, choice: Choice | None) -> bool:
        """Take in the next token; whether the answer is finished. Whatever follows the end is not taken."""
        if self.finish_reason:
            return True
        self.ids.append(token)
        if choice is not None:
            self._choices.append(self._told_choice(choice))
        ended = token in self._ends
        full = len(self.ids) >= self._room
        if ended or full or self._request.stop or self._hear:
            self._grow(final=ended or full, until=-1 if ended else None)
        cut = min((place for stop in self._request.stop if (place := self._text.find(stop)) >= 0), default=None)
        if cut is not None:
            self._text = self._text[:cut]
        if ended or cut is not None:
            self.finish_reason = "stop"
        elif full:
            self.finish_reason = "length"
        self._tell()
        return self.finish_reason is not None

    def answer(self, prompt_tokens: int) -> Answer:
        """The whole of it."""
        wanted = self._request.top_logprobs is not None
        choices = self._choices if wanted else None
        return Answer(self._text, self.finish_reason or "length", prompt_tokens, len(self.ids), choices)

    def _grow(self, *, final: bool, until: int | None) -> None:
        ids = self.ids[:until]
        if final:
            whole = self._decode(ids)
            # Some tokenizers clean a text up as a whole; what was told already stays told.
            self._text = whole if whole.startswith(self._text[: self._told]) else self._text
            return
        before, after = self._decode(ids[self._window : self._read]), self._decode(ids[self._window :])
        if len(after) > len(before) and not after.endswith(_BROKEN):
            self._text += after[len(before) :]
            self._window, self._read = self._read, len(ids)

    def _tell(self) -> None:
        if self._hear is None:
            return
        held = 0 if self.finish_reason else overlap(self._text, self._request.stop)
        text = self._text[self._told : len(self._text) - held]
        if text or self.finish_reason:
            choices = self._choices[self._told_choices :]
            self._told += len(text)
            self._told_choices = len(self._choices)
            self._hear(Piece(text, choices, len(self.ids), self.finish_reason))

    def _told_choice(self, choice: Choice) -> TokenChoice:
        top = [(self._named(token), logprob) for token, logprob in choice.top[: self._request.top_logprobs or 0]]
        return TokenChoice(self._named(choice.token), choice.logprob, top)

    def _named(self, token: int) -> Token:
        text = str(self._tokenizer.decode([token]))
        if _BROKEN not in text:
            return Token(text, text.encode())
        return Token(text, vocabulary.bytes_of(self._tokenizer.convert_ids_to_tokens(token)) or text.encode())

    def _decode(self, ids: list[int]) -> str:
        return str(self._tokenizer.decode(ids, skip_special_tokens=True))
