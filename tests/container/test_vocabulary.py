"""How vocabularies write parts of characters, and which bytes these are."""

from typing import Any

from trainer import vocabulary


def test_the_entries_of_a_byte_level_vocabulary_join_to_the_text(tokenizer: Any) -> None:
    text = "Grüße, Ƚ 漢字 🎉\n\t end"
    entries = tokenizer.convert_ids_to_tokens(tokenizer(text, add_special_tokens=False)["input_ids"])
    parts = [vocabulary.bytes_of(entry) for entry in entries]
    assert None not in parts
    assert b"".join(part or b"" for part in parts).decode() == text


def test_sentencepieces_bytes_are_read_and_its_words_are_no_bytes() -> None:
    assert (vocabulary.bytes_of("<0xEF>"), vocabulary.bytes_of("▁word")) == (b"\xef", None)
