"""A text that is tokenized piece by piece has the tokens that it has as a whole."""

import random
from typing import Any

import pytest

from trainer import pieces

DICE = random.Random(0)
TEXTS = {
    "words": "".join(
        DICE.choice(["word ", "and so on, ", "12345 ", "\n\n", "<|im_end|>", "<|im_start|>"]) for _ in range(900)
    ),
    "other scripts": "".join(
        chr(DICE.choice([0x4E00, 0x1F600, 0xE9, 0x20]) + DICE.randrange(40)) for _ in range(3_000)
    ),
    "one letter": "x" * 6_000,
    "random letters": "".join(DICE.choice("abcdefghij") for _ in range(6_000)),
    "blanks": " " * 6_001 + "a",
    "just one piece": "word " * 40,
    "a piece and a bit": "a" * 1_001,
}
DICE.seed(1)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "PIECE", 1_000)
    monkeypatch.setattr(pieces, "OVERLAP", 100)


def whole(tokenizer: Any, text: str, special: bool) -> tuple[list[int], list[tuple[int, int]]]:
    encoded = tokenizer(text, add_special_tokens=special, return_offsets_mapping=True)
    return encoded["input_ids"], encoded["offset_mapping"]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("special", [False, True])
@pytest.mark.parametrize("around", [False, True])
def test_tokens_and_their_characters_are_those_of_the_whole_text(tokenizer: Any, special: bool, around: bool) -> None:
    if around:
        from tokenizers.processors import TemplateProcessing

        tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
            single="<|im_start|> $A <|im_end|>",
            special_tokens=[
                (token, tokenizer.convert_tokens_to_ids(token)) for token in ("<|im_start|>", "<|im_end|>")
            ],
        )
    texts = list(TEXTS.values())
    found = list(pieces.tokenize(tokenizer, texts, special))
    for text, piece in zip(texts, found, strict=True):
        offsets = list(zip(piece.starts, piece.ends, strict=True))
        assert (piece.ids.tolist(), offsets) == whole(tokenizer, text, special)


@pytest.mark.usefixtures("small")
def test_a_text_whose_pieces_disagree_is_tokenized_whole(tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tokens of three letters, which a piece begins elsewhere than the whole does."""
    from tokenizers import Regex, pre_tokenizers

    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex("[a-z]{1,3}"), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    monkeypatch.setattr(pieces, "OVERLAP", 100)
    text = "the" * 2_000
    (piece,) = pieces.tokenize(tokenizer, [text], special=False)
    assert (piece.ids.tolist(), list(zip(piece.starts, piece.ends, strict=True))) == whole(tokenizer, text, False)
