"""The tokenizer inside a GGUF file: tokens, their types, merges, special ids, template, and how text is split first.

llama.cpp has the splitting of known tokenizers built in and looks it up by name; its own converter finds that name by
hashing what the tokenizer does to one text. Here it is found by what the tokenizer says of itself, which holds for a
vocabulary that nobody has seen before, too. Source: llama.cpp, src/llama-vocab.cpp and convert_hf_to_gguf.py.
"""

import json
import re
import tempfile
from pathlib import Path
from typing import Any

from trainer.failures import Failure

# How SentencePiece writes a space.
SPACE = "▁"
BYTE = re.compile(r"<0x[0-9A-F]{2}>")
# Of the splittings that transformers knows by llama.cpp's names, those that tell a family apart.
SPLITS = ("llama-bpe", "qwen2", "tekken", "gpt-4o")
# llama.cpp skips this normalization, as do the tokenizers' own authors in their GGUF files.
HARMLESS_NORMALIZERS = (None, "NFC")


def check(tokenizer: Any) -> None:
    """Raises Failure(export_unsupported) for a tokenizer that llama.cpp could not reproduce."""
    _splitting(_description(tokenizer))


def add(writer: Any, tokenizer: Any, config: Any) -> None:
    """Write everything of the tokenizer to a gguf.GGUFWriter. Rows of the embedding without a token get padding."""
    import gguf

    description = _description(tokenizer)
    name = _splitting(description)
    pieces = name == "sentencepiece"
    texts, types = _tokens(tokenizer, description, config.vocab_size)
    writer.add_tokenizer_model("llama" if pieces else "gpt2")
    writer.add_tokenizer_pre("default" if pieces else name)
    writer.add_token_list(texts)
    writer.add_token_types(types)
    if pieces:
        writer.add_token_scores(_scores(texts, description))
        writer.add_add_space_prefix(_adds_space(tokenizer))
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        config.save_pretrained(folder)
        special = gguf.SpecialVocab(folder, load_merges=not pieces, n_vocab=len(texts))
    special.add_to_gguf(writer, quiet=True)


def _description(tokenizer: Any) -> dict[str, Any]:
    """tokenizer.json as a dict. Raises Failure(export_unsupported) for a tokenizer that has none."""
    core = getattr(tokenizer, "backend_tokenizer", None)
    if core is None:
        raise _unsupported(f"{type(tokenizer).__name__} has no tokenizer.json")
    return json.loads(core.to_str())


def _splitting(description: dict[str, Any]) -> str:
    """llama.cpp's name for how text is split before merging; "sentencepiece" for Llama 2's kind, which is not split."""
    model = description["model"]
    if model["type"] != "BPE":
        raise _unsupported(f"the tokenizer is of type {model['type']}, not BPE")
    if model.get("byte_fallback"):
        return "sentencepiece"
    normalizer = (description["normalizer"] or {}).get("type")
    steps = _steps(description["pre_tokenizer"])
    kinds = [step["type"] for step in steps]
    if normalizer in HARMLESS_NORMALIZERS and kinds[-1:] == ["ByteLevel"] and not steps[-1]["add_prefix_space"]:
        if kinds == ["ByteLevel"]:
            return "gpt-2"
        if kinds == ["Digits", "ByteLevel"] and steps[0]["individual_digits"]:
            return "smollm"
        if kinds == ["Split", "ByteLevel"] and (name := _known_split(steps[0])):
            return name
    raise _unsupported("its way to split text into words is not among those that can be named")


def _steps(pre_tokenizer: dict[str, Any] | None) -> list[dict[str, Any]]:
    if pre_tokenizer is None:
        return []
    return pre_tokenizer["pretokenizers"] if pre_tokenizer["type"] == "Sequence" else [pre_tokenizer]


def _known_split(step: dict[str, Any]) -> str | None:
    from transformers.integrations.gguf.gguf_tokenizer_mapping import GGUF_PRE_TOKENIZER_SPLITS

    pattern = step["pattern"].get("Regex")
    return next((name for name in SPLITS if GGUF_PRE_TOKENIZER_SPLITS[name] == pattern), None)


def _unsupported(reason: str) -> Failure:
    return Failure(
        "export_unsupported",
        f"GGUF cannot hold this tokenizer: {reason}.",
        "Export merged, and convert that with llama.cpp's convert_hf_to_gguf.py.",
    )


def _tokens(tokenizer: Any, description: dict[str, Any], rows: int) -> tuple[list[str], list[int]]:
    """Text and llama.cpp's type of every row of the embedding."""
    from gguf import TokenType

    texts = {number: text for text, number in tokenizer.get_vocab().items()}
    added = {token["id"]: token["special"] for token in description["added_tokens"]}
    unknown = texts.get(tokenizer.unk_token_id)
    byte_fallback = description["model"].get("byte_fallback")

    def type_of(number: int) -> int:
        if number not in texts:
            return TokenType.UNUSED
        if byte_fallback and BYTE.fullmatch(texts[number]):
            return TokenType.BYTE
        if byte_fallback and texts[number] == unknown:
            return TokenType.UNKNOWN
        if number in added:
            return TokenType.CONTROL if added[number] else TokenType.USER_DEFINED
        return TokenType.NORMAL

    rows = max(rows, max(texts) + 1)
    return [texts.get(number, f"[PAD{number}]") for number in range(rows)], [type_of(number) for number in range(rows)]


def _scores(texts: list[str], description: dict[str, Any]) -> list[float]:
    """SentencePiece merges the pair of highest score first: minus the place among the merges says the same."""
    places: dict[str, int] = {}
    for place, merge in enumerate(description["model"]["merges"]):
        pair = merge.split(" ") if isinstance(merge, str) else merge
        places.setdefault("".join(pair), place)
    return [-float(places.get(text, len(places))) for text in texts]


def _adds_space(tokenizer: Any) -> bool:
    """Whether the text after a special token is read as if it began with a space.

    Tried, since several settings decide it. llama.cpp treats the beginning of a text alike, tokenizers need not; a chat
    begins with a special token.
    """
    ids = tokenizer(f"{tokenizer.bos_token or ''}a", add_special_tokens=False)["input_ids"]
    return tokenizer.convert_ids_to_tokens(ids)[1 if tokenizer.bos_token else 0].startswith(SPACE)


def read(path: Path, file: Any) -> Any:
    """The tokenizer of the file at `path`, open as gguf.GGUFReader: transformers', told of the leading space."""
    from tokenizers import normalizers
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    if file.fields["tokenizer.ggml.model"].contents() == "llama":
        prefix = [normalizers.Prepend(SPACE)] if file.fields["tokenizer.ggml.add_space_prefix"].contents() else []
        tokenizer.backend_tokenizer.normalizer = normalizers.Sequence([*prefix, normalizers.Replace(" ", SPACE)])
        tokenizer.backend_tokenizer.pre_tokenizer = None
    return tokenizer
