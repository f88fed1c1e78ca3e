"""Models that were trained elsewhere: taken over as a run would have left them, or refused with a reason."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.container.exported import adapter, snapshot
from tests.container.programs import Program, run
from trainer import archives, files, proof, templates


@pytest.fixture(scope="module")
def lora(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return adapter(tiny, tmp_path_factory.mktemp("lora") / "model")


@pytest.fixture(scope="module")
def full(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Merged weights: the base's own, with a little of everything changed."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = tmp_path_factory.mktemp("full") / "model"
    model = AutoModelForCausalLM.from_pretrained(tiny)
    torch.manual_seed(5)
    for weight in model.parameters():
        weight.data += torch.randn_like(weight) * 0.02
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny).save_pretrained(folder)
    return folder


@pytest.fixture
def root(tiny: Path, tmp_path: Path) -> Path:
    inputs = tmp_path / "root" / "input" / "data"
    inputs.mkdir(parents=True)
    (inputs / "base").symlink_to(tiny)
    return tmp_path / "root"


def send(root: Path, source: Path) -> Path:
    """A copy of the folder as the source channel."""
    return Path(shutil.copytree(source, root / "input" / "data" / "source"))


def adopt(root: Path, name: str = "from-elsewhere", base_model: str = "luthier/tiny") -> Program:
    return run("trainer.adopt", "--root", root, "--name", name, "--base-model", base_model)


def read(root: Path, name: str = "model_card.json") -> Any:
    return json.loads((root / "model" / name).read_text())


def failure(root: Path) -> dict[str, str]:
    return json.loads((root / "output" / "failure").read_text())


def rewrite(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def reweigh(path: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    from safetensors.torch import load_file, save_file

    save_file(change(load_file(path)), path, metadata={"format": "pt"})


def test_an_adapter_becomes_a_model_folder_as_a_run_leaves_it(root: Path, lora: Path, tokenizer: Any) -> None:
    sent = send(root, lora)
    (sent / "training_args.bin").write_bytes(b"a pickle that nobody opens")
    program = adopt(root)
    assert program.exit_code == 0
    card = read(root)
    assert (card["name"], card["source"]) == ("from-elsewhere", "import")
    assert card["base_model"] == {"id": "luthier/tiny", "revision": None}
    assert card["named_base"] == json.loads((lora / "adapter_config.json").read_text())["base_model_name_or_path"]
    assert card["serving"] == {"kind": "adapter", "path": "."}
    assert card["training"]["strategy"] == "lora"
    assert (card["training"]["parameters"]["rank"], card["training"]["parameters"]["alpha"]) == (8, 16)
    assert card["training"]["total_steps"] is None
    assert card["architecture"]["layers"] == 4
    assert card["parameters"] > 10 * card["trainable_parameters"] > 100_000
    assert card["template_sha256"] == templates.fingerprint(tokenizer)
    listed = [file for file in files.listing(root / "model") if file["path"] != "model_card.json"]
    assert card["files"] == listed
    assert {"proof.json", "serving/adapter.tar.gz", "tokenizer.json", "chat_template.jinja"} <= {
        file["path"] for file in listed
    }
    assert not (root / "model" / "training_args.bin").exists()
    assert files.sha256(root / "model" / "adapter_model.safetensors") == files.sha256(
        lora / "adapter_model.safetensors"
    )
    settings = read(root, "adapter_config.json")
    assert (settings["base_model_name_or_path"], settings["inference_mode"]) == ("luthier/tiny", True)
    assert sorted(path.name for path in root.iterdir()) == ["input", "model"]
    assert any("training_args.bin" in line.get("files", []) for line in program.lines)


def test_its_proof_is_of_three_general_prompts_and_shows_the_adapter(root: Path, lora: Path) -> None:
    send(root, lora)
    assert adopt(root).exit_code == 0
    prompts = read(root, "proof.json")["prompts"]
    assert [prompt["messages"][0]["content"] for prompt in prompts] == list(proof.GENERAL)
    assert all(prompt["base"] != prompt["tuned"] for prompt in prompts)


def test_a_finished_runs_adapter_can_be_adopted_and_a_run_goes_on_from_it(
    root: Path, tuned: Path, make_root: Callable[..., Path]
) -> None:
    send(root, tuned / "model")
    assert adopt(root).exit_code == 0
    later = make_root(start_from={"model": "adopted"}, hyperparameters={"epochs": 1}, evaluation={"generate": False})
    shutil.copytree(root / "model", later / "input" / "data" / "adapter")
    assert run("trainer.train", "--root", later).exit_code == 0


def test_the_revision_is_that_of_the_staged_base(root: Path, lora: Path, tiny: Path) -> None:
    base = root / "input" / "data" / "base"
    base.unlink()
    shutil.copytree(tiny, base)
    (base / "manifest.json").write_text('{"model": "luthier/tiny", "revision": "v7"}')
    send(root, lora)
    assert adopt(root).exit_code == 0
    assert read(root)["base_model"] == {"id": "luthier/tiny", "revision": "v7"}


def test_merged_weights_become_a_model_of_their_own(root: Path, full: Path) -> None:
    from transformers import AutoModelForCausalLM

    send(root, full)
    assert adopt(root).exit_code == 0
    card = read(root)
    assert card["serving"] == {"kind": "model", "path": "."}
    assert (card["training"]["strategy"], card["training"]["parameters"]) == ("full", {})
    assert card["parameters"] == card["trainable_parameters"] > 850_000
    assert not (root / "model" / "serving").exists()
    assert all(prompt["base"] != prompt["tuned"] for prompt in read(root, "proof.json")["prompts"])
    adopted, sent = (AutoModelForCausalLM.from_pretrained(folder) for folder in (root / "model", full))
    assert adopted.lm_head.weight.equal(sent.lm_head.weight)


def test_merged_weights_in_parts_are_taken_whole(root: Path, full: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    AutoModelForCausalLM.from_pretrained(full).save_pretrained(tmp_path / "parts", max_shard_size="1MB")
    send(root, tmp_path / "parts")
    assert adopt(root).exit_code == 0
    assert len(list((root / "model").glob("*.safetensors"))) > 1
    assert AutoModelForCausalLM.from_pretrained(root / "model").num_parameters() > 850_000


def test_merged_weights_keep_a_chat_template_of_their_own(root: Path, full: Path, tokenizer: Any) -> None:
    sent = send(root, full)
    (sent / "chat_template.jinja").write_text("{% for m in messages %}{{ m.content }}\n{% endfor %}")
    assert adopt(root).exit_code == 0
    assert read(root)["template_sha256"] != templates.fingerprint(tokenizer)


def _dora(sent: Path) -> None:
    rewrite(sent / "adapter_config.json", use_dora=True)


def _zero(sent: Path) -> None:
    def silence(weights: dict[str, Any]) -> dict[str, Any]:
        return {name: weight * 0 if "lora_B" in name else weight for name, weight in weights.items()}

    reweigh(sent / "adapter_model.safetensors", silence)


def _not_a_number(sent: Path) -> None:
    def break_one(weights: dict[str, Any]) -> dict[str, Any]:
        weights[min(weights)][0, 0] = float("nan")
        return weights

    reweigh(next(sent.glob("*model.safetensors")), break_one)


def _other_shape(sent: Path) -> None:
    def cut(weights: dict[str, Any]) -> dict[str, Any]:
        return {
            name: weight[:, :64].contiguous() if name.endswith("q_proj.lora_A.weight") else weight
            for name, weight in weights.items()
        }

    reweigh(sent / "adapter_model.safetensors", cut)


def _pickled(sent: Path) -> None:
    path = next(sent.glob("*model.safetensors"))
    path.rename(path.with_suffix(".bin"))


def _other_template(sent: Path) -> None:
    (sent / "chat_template.jinja").write_text("{% for m in messages %}{{ m.content }}{% endfor %}")


def _remote_tokenizer(sent: Path) -> None:
    rewrite(sent / "tokenizer_config.json", auto_map={"AutoTokenizer": ["evil.Tokenizer", None]})


def _broken_tokenizer(sent: Path) -> None:
    (sent / "tokenizer.json").write_text("{}")


@pytest.mark.parametrize(
    ("harm", "code", "said"),
    [
        (lambda sent: rewrite(sent / "adapter_config.json", peft_type="IA3"), "bad_adapter", "peft_type"),
        (lambda sent: rewrite(sent / "adapter_config.json", r=1024), "unservable", "rank is 1024"),
        (_dora, "unservable", "DoRA"),
        (_zero, "bad_adapter", "changes no answer"),
        (_not_a_number, "bad_adapter", "no numbers"),
        (_other_shape, "bad_adapter", "does not fit the base model"),
        (_pickled, "no_safetensors", "pickle file, adapter_model.bin"),
        (_other_template, "template_mismatch", "is not the base model's"),
        (_remote_tokenizer, "unservable", "auto_map"),
        (_broken_tokenizer, "bad_import", "tokenizer that came along"),
        (lambda sent: (sent / "adapter_model.safetensors").unlink(), "bad_import", "no adapter_model.safetensors"),
        (lambda sent: (sent / "adapter_model.safetensors").write_bytes(b"x"), "bad_adapter", "cannot be read"),
        (lambda sent: (sent / "adapter_config.json").write_text("[]"), "bad_adapter", "adapter_config.json"),
    ],
)
def test_a_bad_adapter_is_refused_with_its_reason(
    root: Path, lora: Path, harm: Callable[[Path], None], code: str, said: str
) -> None:
    harm(send(root, lora))
    refused(root, code, said)


def refused(root: Path, code: str, said: str) -> None:
    assert adopt(root).exit_code in (1, 2)
    told = failure(root)
    assert (told["code"], said in told["message"]) == (code, True), told
    assert told["hint"]
    assert not (root / "model" / "model_card.json").exists()
    assert not list(root.glob("adopt-*"))


def _other_index(sent: Path) -> None:
    (sent / "model.safetensors").rename(sent.parent / "evil.safetensors")
    index = {"weight_map": {"model.norm.weight": "../evil.safetensors"}}
    (sent / "model.safetensors.index.json").write_text(json.dumps(index))


def _lacking(sent: Path) -> None:
    reweigh(
        sent / "model.safetensors", lambda weights: {name: one for name, one in weights.items() if ".2.mlp" not in name}
    )


def _misshapen(sent: Path) -> None:
    reweigh(
        sent / "model.safetensors", lambda weights: weights | {"model.norm.weight": weights["model.norm.weight"][:64]}
    )


@pytest.mark.parametrize(
    ("harm", "code", "said"),
    [
        (_pickled, "no_safetensors", "pickle file, model.bin"),
        (_not_a_number, "bad_import", "no numbers"),
        (_other_index, "bad_import", "'../evil.safetensors', which is no safetensors file beside it"),
        (_lacking, "bad_import", "The imported model's snapshot lacks 3 weights"),
        (_misshapen, "bad_import", "model.norm.weight is (64,)"),
        (_remote_tokenizer, "unservable", "tokenizer_config.json has an auto_map"),
        (lambda sent: rewrite(sent / "config.json", auto_map={"AutoModel": "evil.Model"}), "unservable", "auto_map"),
        (lambda sent: rewrite(sent / "config.json", model_type="mistral"), "unservable", "model_type is 'mistral'"),
        (lambda sent: rewrite(sent / "config.json", model_type="own"), "bad_import", "config.json cannot be read"),
        (lambda sent: rewrite(sent / "config.json", hidden_size=64), "unservable", "hidden_size is 64; the base"),
        (lambda sent: rewrite(sent / "config.json", hidden_size="x"), "bad_import", "config.json cannot be read"),
        (lambda sent: rewrite(sent / "config.json", quantization_config={"bits": 4}), "unservable", "quantized"),
        (lambda sent: (sent / "config.json").write_text("{"), "bad_import", "config.json cannot be read"),
        (lambda sent: (sent / "config.json").unlink(), "bad_import", "without their config.json"),
        (lambda sent: (sent / "model.safetensors").write_bytes(b"x"), "bad_import", "model.safetensors cannot be read"),
        (
            lambda sent: (sent / "model.safetensors").rename(sent / "consolidated.safetensors"),
            "bad_import",
            "There is no",
        ),
        (lambda sent: (sent / "generation_config.json").write_text("[1]"), "bad_import", "not a JSON object"),
    ],
)
def test_bad_merged_weights_are_refused_with_their_reason(
    root: Path, full: Path, harm: Callable[[Path], None], code: str, said: str
) -> None:
    harm(send(root, full))
    refused(root, code, said)


def test_a_model_of_another_architecture_is_refused(root: Path, tokenizer: Any, tmp_path: Path) -> None:
    send(root, snapshot(tmp_path / "qwen", tokenizer, "qwen2"))
    refused(root, "unservable", "model_type is 'qwen2'; the base model's is 'llama'.")


def test_an_empty_folder_is_refused(root: Path) -> None:
    refused(root, "bad_import", "it holds nothing.")


def test_files_one_folder_down_are_told(root: Path, lora: Path) -> None:
    source = root / "input" / "data" / "source"
    source.mkdir()
    shutil.copytree(lora, source / "my-adapter")
    refused(root, "bad_import", "it holds my-adapter.")


def test_a_base_that_is_not_there_is_said(root: Path, lora: Path) -> None:
    (root / "input" / "data" / "base").unlink()
    send(root, lora)
    refused(root, "bad_base_model", "tokenizer")


@pytest.mark.parametrize(("name", "base_model", "said"), [("", "a", "--name is ''"), ("a", "b\n", "--base-model is")])
def test_wrong_arguments_are_named(root: Path, lora: Path, name: str, base_model: str, said: str) -> None:
    send(root, lora)
    assert adopt(root, name, base_model).exit_code == 1
    assert failure(root)["code"] == "bad_config"
    assert failure(root)["message"].startswith(said)


def test_the_archive_holds_what_the_folder_holds(root: Path, lora: Path, tmp_path: Path) -> None:
    send(root, lora)
    assert adopt(root).exit_code == 0
    shutil.unpack_archive(root / "model" / archives.ADAPTER_ARCHIVE, tmp_path / "read", filter="data")
    for name in archives.ADAPTER_FILES:
        assert files.sha256(tmp_path / "read" / name) == files.sha256(root / "model" / name)
