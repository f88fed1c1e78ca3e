"""What is in a GGUF file, for every architecture and tokenizer that is written, and what is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.container.conftest import TICKETS
from tests.container.exported import snapshot
from trainer.exports import export, gguf_model, gguf_tokenizer
from trainer.exports.source import Source
from trainer.failures import Failure

LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 10_000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}


def fields(folder: Path) -> dict[str, Any]:
    from gguf import GGUFReader

    (path,) = folder.glob("*.gguf")
    return {name: field.contents() for name, field in GGUFReader(path).fields.items()}


def tensors(folder: Path) -> dict[str, Any]:
    from gguf import GGUFReader

    (path,) = folder.glob("*.gguf")
    return {tensor.name: tensor for tensor in GGUFReader(path).tensors}


@pytest.mark.parametrize(
    ("model_type", "changes"),
    [
        ("llama", {"attention_bias": True, "mlp_bias": True}),
        ("llama", {"rope_parameters": LLAMA3_ROPE}),
        ("llama", {"rope_parameters": {"rope_type": "linear", "rope_theta": 10_000.0, "factor": 4.0}}),
        ("llama", {"head_dim": 32, "tie_word_embeddings": True}),
        ("mistral", {"num_key_value_heads": 1}),
        ("qwen2", {}),
        ("qwen3", {"head_dim": 32}),
    ],
)
def test_every_architecture_answers_like_its_source(
    tokenizer: Any, tmp_path: Path, model_type: str, changes: dict[str, Any]
) -> None:
    source = snapshot(tmp_path / "model", tokenizer, model_type, **changes)
    proof = export("gguf-f16", source, source, tmp_path / "gguf")["proof"]
    assert proof["max_difference"] < 0.05


def test_scaled_rotary_embeddings_become_the_factors_that_llama_cpp_divides_by(tokenizer: Any, tmp_path: Path) -> None:
    folder = snapshot(tmp_path / "model", tokenizer, "llama", rope_parameters=LLAMA3_ROPE)
    export("gguf-f16", folder, folder, tmp_path / "gguf")
    factors = tensors(tmp_path / "gguf")["rope_freqs.weight"].data
    # The fastest pairs keep their speed, the slowest lose the whole factor (arXiv 2407.21783, section 3.2).
    assert factors[0] == pytest.approx(1)
    assert factors[-1] == pytest.approx(8)
    assert (np.diff(factors) > -1e-3).all()


@pytest.mark.parametrize("lost", ["rows of q and k", "rotary factors"])
def test_a_wrong_layout_is_noticed(tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: str) -> None:
    if lost == "rotary factors":
        monkeypatch.setattr(gguf_model, "ROPE_FACTORS", "other.weight")
        monkeypatch.setattr(gguf_model, "_rope_type", lambda config: "default")
    else:
        monkeypatch.setattr(gguf_model, "_rows", lambda name, tensor, config: tensor.detach().float().numpy())
    folder = snapshot(tmp_path / "model", tokenizer, "llama", rope_parameters=LLAMA3_ROPE)
    with pytest.raises(Failure) as raised:
        export("gguf-f16", folder, folder, tmp_path / "gguf")
    assert raised.value.code == "export_failed"
    assert not (tmp_path / "gguf").exists()


def test_the_file_states_the_whole_architecture(tokenizer: Any, tmp_path: Path) -> None:
    folder = snapshot(tmp_path / "model", tokenizer, "qwen3", head_dim=32)
    export("gguf-q8_0", folder, folder, tmp_path / "gguf")
    found = fields(tmp_path / "gguf")
    expected = {
        "context_length": 512,
        "embedding_length": 64,
        "block_count": 2,
        "feed_forward_length": 96,
        "attention.head_count": 4,
        "attention.head_count_kv": 2,
        "attention.key_length": 32,
        "attention.value_length": 32,
        "rope.freq_base": 10_000.0,
    }
    assert {name: found[f"qwen3.{name}"] for name in expected} == expected
    assert found["general.architecture"] == "qwen3"
    assert found["general.file_type"] == 7


def test_vectors_stay_float32_and_short_rows_become_float16(tokenizer: Any, tmp_path: Path) -> None:
    folder = snapshot(tmp_path / "model", tokenizer, "llama", intermediate_size=80)
    export("gguf-q8_0", folder, folder, tmp_path / "gguf")
    kinds = {name: tensor.tensor_type.name for name, tensor in tensors(tmp_path / "gguf").items()}
    assert kinds["blk.0.attn_norm.weight"] == "F32"
    assert kinds["blk.0.attn_q.weight"] == kinds["output.weight"] == "Q8_0"
    assert kinds["blk.0.ffn_down.weight"] == "F16"


def test_rows_of_the_embedding_without_a_token_are_padding(tokenizer: Any, tmp_path: Path) -> None:
    folder = snapshot(tmp_path / "model", tokenizer, "llama", vocab_size=len(tokenizer) + 8)
    export("gguf-f16", folder, folder, tmp_path / "gguf")
    found = fields(tmp_path / "gguf")
    assert found["tokenizer.ggml.tokens"][-1] == f"[PAD{len(tokenizer) + 7}]"
    assert found["tokenizer.ggml.token_type"][-8:] == [5] * 8


def test_the_tokenizer_is_whole(tokenizer: Any, tiny: Path, tmp_path: Path) -> None:
    export("gguf-f16", tiny, tiny, tmp_path / "gguf")
    found = fields(tmp_path / "gguf")
    assert found["tokenizer.ggml.model"] == "gpt2"
    assert found["tokenizer.ggml.pre"] == "gpt-2"
    assert found["tokenizer.ggml.tokens"] == tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    assert found["tokenizer.ggml.token_type"][:4] == [3, 3, 3, 1]
    assert len(found["tokenizer.ggml.merges"]) == len(
        json.loads(tokenizer.backend_tokenizer.to_str())["model"]["merges"]
    )
    assert found["tokenizer.ggml.bos_token_id"] == tokenizer.bos_token_id
    assert found["tokenizer.ggml.eos_token_id"] == tokenizer.eos_token_id
    assert found["tokenizer.ggml.padding_token_id"] == tokenizer.pad_token_id
    assert found["tokenizer.chat_template"] == tokenizer.chat_template


def test_a_tokenizer_that_lost_its_merges_is_noticed(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gguf import GGUFWriter

    monkeypatch.setattr(
        GGUFWriter, "add_token_merges", lambda self, merges: self.add_array("tokenizer.ggml.merges", merges[:9])
    )
    with pytest.raises(Failure, match="tokens_equal is false"):
        export("gguf-f16", tiny, tiny, tmp_path / "gguf")


@pytest.fixture
def pieces() -> Any:
    """A tokenizer of Llama 2's kind: no splitting, bytes for what it does not know."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, trainers
    from transformers import LlamaTokenizer

    core = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    core.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    core.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    special = [AddedToken(text, normalized=False, special=True) for text in ("<unk>", "<s>", "</s>")]
    unseen = [AddedToken(f"<0x{byte:02X}>", normalized=False) for byte in range(256)]
    texts = [json.loads(line)["messages"][1]["content"] for line in (TICKETS / "train.jsonl").read_text().splitlines()]
    core.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=800, special_tokens=[*special, *unseen], show_progress=False)
    )
    model = json.loads(core.to_str())["model"]
    tokenizer = LlamaTokenizer(vocab=model["vocab"], merges=[tuple(merge) for merge in model["merges"]])
    tokenizer.chat_template = (
        "{{ bos_token }}{% for message in messages %}[INST] {{ message['content'] }} [/INST]{% endfor %}"
    )
    return tokenizer


@pytest.mark.parametrize("always", [True, False])
def test_a_sentencepiece_tokenizer_keeps_bytes_scores_and_its_leading_space(
    pieces: Any, tmp_path: Path, always: bool
) -> None:
    from tokenizers import normalizers

    if always:  # as Llama 2 has it; Mistral adds a space only where a text begins
        pieces.backend_tokenizer.pre_tokenizer = None
        pieces.backend_tokenizer.normalizer = normalizers.Sequence(
            [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
        )
    folder = snapshot(tmp_path / "model", pieces, "mistral")
    assert export("gguf-f16", folder, folder, tmp_path / "gguf")["proof"]["tokens_equal"]
    found = fields(tmp_path / "gguf")
    assert found["tokenizer.ggml.model"] == "llama"
    assert found["tokenizer.ggml.add_space_prefix"] is always
    assert found["tokenizer.ggml.token_type"].count(6) == 256
    assert found["tokenizer.ggml.token_type"][:3] == [2, 3, 3]
    scores = dict(zip(found["tokenizer.ggml.tokens"], found["tokenizer.ggml.scores"], strict=True))
    merges = json.loads(pieces.backend_tokenizer.to_str())["model"]["merges"]
    assert scores["".join(merges[0])] > scores["".join(merges[1])] > scores["".join(merges[-1])]


LLAMA3_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


@pytest.mark.parametrize(
    ("pattern", "name"), [(LLAMA3_SPLIT, "llama-bpe"), (LLAMA3_SPLIT.replace("{1,3}", ""), "qwen2"), (r"\w+", None)]
)
def test_the_splitting_is_named_by_its_pattern(tokenizer: Any, pattern: str, name: str | None) -> None:
    from tokenizers import Regex, pre_tokenizers

    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    description = gguf_tokenizer._description(tokenizer)
    if name:
        assert gguf_tokenizer._splitting(description) == name
    else:
        with pytest.raises(Failure, match="split text") as raised:
            gguf_tokenizer.check(tokenizer)
        assert raised.value.code == "export_unsupported"


@pytest.mark.parametrize(
    ("model_type", "changes", "named"),
    [
        ("gemma", {"head_dim": 16}, "gemma"),
        ("llama", {"rope_parameters": {"rope_type": "yarn", "rope_theta": 10_000.0, "factor": 4.0}}, "yarn"),
        ("qwen2", {"rope_parameters": LLAMA3_ROPE}, "llama3"),
    ],
)
def test_what_cannot_be_written_is_refused_with_what_can_and_a_way_out(
    tokenizer: Any, tmp_path: Path, model_type: str, changes: dict[str, Any], named: str
) -> None:
    folder = snapshot(tmp_path / "model", tokenizer, model_type, **changes)
    with pytest.raises(Failure, match=named) as raised:
        gguf_model.check(Source(folder, folder))
    assert raised.value.code == "export_unsupported"
    assert "convert_hf_to_gguf.py" in raised.value.hint
