"""What is trained: LoRA and its kin, 4-bit bases, all weights, and adapters that go on."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.container.conftest import MakeRoot
from tests.container.programs import Program, run
from tests.container.test_training import card, metrics
from trainer import adapters, weights
from trainer.failures import Failure

SHORT = {"epochs": 2, "learning_rate": 0.01}


def train(root: Path) -> Program:
    program = run("trainer.train", "--root", root)
    assert program.exit_code == 0, program.output.read_text()[-3000:]
    return program


def failure(root: Path) -> dict[str, str]:
    return json.loads((root / "output" / "failure").read_text())


def adapter_config(root: Path) -> dict[str, Any]:
    return json.loads((root / "model" / "adapter_config.json").read_text())


def goes_on_from(adapter: Path, make_root: MakeRoot, **changes: Any) -> Path:
    root = make_root(start_from={"model": "tiny-earlier"}, **changes)
    shutil.copytree(adapter, root / "input" / "data" / "adapter")
    return root


def test_rslora_and_chosen_modules_reach_the_adapter(make_root: MakeRoot) -> None:
    asked = {"use_rslora": True, "target_modules": ["q_proj", "v_proj"], "lora_dropout": 0.1}
    root = make_root(hyperparameters=SHORT | asked, evaluation={"generate": False})
    train(root)
    config = adapter_config(root)
    assert (config["use_rslora"], set(config["target_modules"])) == (True, {"q_proj", "v_proj"})
    assert config["lora_dropout"] == 0.1


def test_dora_is_served_merged_because_the_server_applies_no_dora(make_root: MakeRoot) -> None:
    root = make_root(hyperparameters=SHORT | {"use_dora": True}, evaluation={"generate": False})
    train(root)
    content = card(root)
    assert adapter_config(root)["use_dora"] is True
    assert content["serving"] == {"kind": "model", "path": "exports/merged"}
    assert content["training"]["strategy"] == "dora"
    assert not (root / "model" / "serving").exists()
    assert [row["proof"]["ok"] for row in content["exports"]] == [True]
    assert (root / "model" / "exports" / "merged" / "model.safetensors").exists()


def test_qlora_trains_on_4_bit_weights(make_root: MakeRoot) -> None:
    root = make_root(hyperparameters=SHORT | {"adapter": "qlora"}, evaluation={"generate": False})
    program = train(root)
    assert any("4-bit" in line.get("rung", "") for line in program.lines)
    losses = list(metrics(root).values())
    assert losses[-1] < losses[0]
    assert card(root)["serving"]["kind"] == "adapter"
    assert card(root)["batches"]["four_bit"] is True
    assert card(root)["training"]["strategy"] == "qlora"
    assert json.loads((root / "model" / "proof.json").read_text())["prompts"]


def test_all_weights_are_trained_and_saved_as_a_model_of_their_own(make_root: MakeRoot, tiny: Path) -> None:
    from transformers import AutoModelForCausalLM

    changes = {"adapter": "full", "learning_rate": 0.002, "lora_rank": None, "lora_alpha": None}
    root = make_root(hyperparameters=SHORT | changes, evaluation={"generate": False})
    train(root)
    content = card(root)
    assert content["serving"] == {"kind": "model", "path": "."}
    assert content["trainable_parameters"] == content["parameters"] > 850_000
    tuned, base = (AutoModelForCausalLM.from_pretrained(folder) for folder in (root / "model", tiny))
    assert tuned.dtype == base.dtype
    assert not tuned.lm_head.weight.equal(base.lm_head.weight)


def test_a_run_goes_on_from_an_earlier_model(make_root: MakeRoot, tuned: Path) -> None:
    root = goes_on_from(tuned / "model", make_root, hyperparameters={"epochs": 1, "learning_rate": 0.001})
    train(root)
    first, last_of_earlier = metrics(root)[1], metrics(tuned)[20]
    assert first < last_of_earlier + 0.3
    assert card(root)["start_from"] == {"model": "tiny-earlier"}


def test_a_preference_run_goes_on_from_a_supervised_one(make_root: MakeRoot, tuned: Path) -> None:
    from tests.container.rows_of_methods import preference

    gentle = {"epochs": 1, "learning_rate": 0.0005}
    root = goes_on_from(tuned / "model", make_root, rows=preference(), method="dpo", hyperparameters=gentle)
    train(root)
    # At the first step policy and reference are the same, so no answer is preferred: -log sigmoid(0).
    assert metrics(root)[1] == pytest.approx(0.6931, abs=1e-3)
    assert sorted(path.name for path in (root / "model").glob("*.safetensors")) == ["adapter_model.safetensors"]
    assert not (root / "model" / "ref").exists()


def broken(adapter: Path, change: dict[str, Any]) -> None:
    path = adapter / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))


@pytest.fixture
def earlier(tuned: Path, tmp_path: Path) -> Path:
    """A copy of a finished adapter's folder."""
    return Path(shutil.copytree(tuned / "model", tmp_path / "adapter", ignore=shutil.ignore_patterns("exports")))


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        ({"peft_type": "IA3"}, "bad_adapter", "peft_type: Input should be 'LORA' (given: 'IA3')"),
        ({"task_type": "SEQ_CLS"}, "bad_adapter", "task_type: "),
        ({"r": "8"}, "bad_adapter", "r: Input should be a valid integer (given: '8')"),
        ({"r": True}, "bad_adapter", "r: Input should be a valid integer (given: True)"),
        ({"r": -8}, "bad_adapter", "r: "),
        ({"r": 1024}, "unservable", "1024"),
        ({"lora_alpha": "16"}, "bad_adapter", "lora_alpha: "),
        ({"lora_alpha": None}, "bad_adapter", "lora_alpha: "),
        ({"lora_dropout": 5}, "bad_adapter", "lora_dropout: "),
        ({"target_modules": {"a": 1}}, "bad_adapter", "target_modules: "),
        ({"target_modules": ["q_proj"]}, "bad_adapter", "target_modules"),
        ({"rank_pattern": ["q_proj"]}, "bad_adapter", "rank_pattern: "),
        ({"rank_pattern": {"q_proj": "x"}}, "bad_adapter", "rank_pattern: "),
        ({"rank_pattern": {"q_proj": 512}}, "unservable", "rank_pattern is {'q_proj': 512}"),
        ({"alpha_pattern": {"q_proj": 128}}, "unservable", "alpha_pattern is {'q_proj': 128}"),
        ({"init_lora_weights": "pissa"}, "unservable", "init_lora_weights is 'pissa'"),
        ({"init_lora_weights": "olora"}, "unservable", "init_lora_weights is 'olora'"),
        ({"init_lora_weights": "loftq"}, "unservable", "init_lora_weights is 'loftq'"),
        ({"bias": "all"}, "unservable", "bias is 'all'"),
        ({"modules_to_save": ["lm_head"]}, "unservable", "modules_to_save"),
        ({"layer_replication": [[0, 2], [1, 2]]}, "unservable", "layer_replication"),
    ],
)  # fmt: skip
def test_an_adapter_that_cannot_go_on_is_refused_by_its_config(
    earlier: Path, change: dict[str, Any], code: str, said: str
) -> None:
    broken(earlier, change)
    with pytest.raises(Failure) as caught:
        adapters.shape(earlier)
    assert caught.value.code == code
    assert said in caught.value.message


def test_an_adapter_to_be_merged_first_is_refused_with_that_remedy(make_root: MakeRoot, tuned: Path) -> None:
    root = goes_on_from(tuned / "model", make_root)
    broken(root / "input" / "data" / "adapter", {"alpha_pattern": {"q_proj": 128}})
    assert run("trainer.train", "--root", root).exit_code == 1
    assert failure(root)["code"] == "unservable"
    assert failure(root)["hint"].startswith("Merge the adapter into its base model first")


def put_on(base: Path, adapter: Path) -> Any:
    from transformers import AutoModelForCausalLM

    return adapters.put_on(AutoModelForCausalLM.from_pretrained(base), adapter)


def rewrite(adapter: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    from safetensors.torch import load_file, save_file

    path = adapter / "adapter_model.safetensors"
    save_file(change(load_file(path)), path)


@pytest.mark.parametrize(
    ("settings", "change", "said"),
    [
        ({}, lambda held: {name.replace("layers.1.", "layers.9."): held[name] for name in held}, "layers.9."),
        ({}, lambda held: {name: held[name] for name in held if "q_proj" not in name}, "q_proj"),
        ({}, lambda held: {name: held[name] for name in held if "layers.1." not in name}, "layers.1."),
        ({"layers_to_transform": [0]}, lambda held: held, "layers.1."),
    ],
)
def test_an_adapter_that_fits_the_base_model_in_part_is_refused(
    tiny: Path, earlier: Path, settings: dict[str, Any], change: Callable[[dict[str, Any]], dict[str, Any]], said: str
) -> None:
    broken(earlier, settings)
    rewrite(earlier, change)
    with pytest.raises(Failure, match=r"^\d+ weights ") as caught:
        put_on(tiny, earlier)
    assert caught.value.code == "bad_adapter"
    assert said in caught.value.message


@pytest.mark.parametrize("settings", [{"init_lora_weights": way} for way in (False, "gaussian", "orthogonal", "eva")])
def test_an_adapter_goes_on_with_its_own_weights_beside_those_of_the_base(
    tiny: Path, earlier: Path, settings: dict[str, Any]
) -> None:
    from peft import get_peft_model_state_dict
    from safetensors.torch import load_file

    broken(earlier, settings)
    adapters.shape(earlier)
    model = put_on(tiny, earlier)
    held = load_file(earlier / "adapter_model.safetensors")
    loaded = get_peft_model_state_dict(model)
    assert loaded.keys() == held.keys()
    assert all(loaded[name].equal(held[name]) for name in held)
    base = load_file(tiny / "model.safetensors")
    with_names = {name.replace(".base_layer", ""): weight for name, weight in model.base_model.model.named_parameters()}
    assert all(with_names[name].equal(weight) for name, weight in base.items())


def test_an_adapter_of_some_layers_goes_on(tiny: Path, earlier: Path) -> None:
    broken(earlier, {"layers_to_transform": [1]})
    rewrite(earlier, lambda held: {name: held[name] for name in held if "layers.1." in name})
    assert all("layers.1." in name for name, weight in put_on(tiny, earlier).named_parameters() if weight.requires_grad)


def test_an_adapter_with_parts_the_server_cannot_load_is_refused(make_root: MakeRoot, tuned: Path) -> None:
    from safetensors.torch import load_file, save_file

    root = goes_on_from(tuned / "model", make_root)
    path = root / "input" / "data" / "adapter" / "adapter_model.safetensors"
    weights = load_file(path)
    weights["base_model.model.lm_head.lora_A.weight"] = next(iter(weights.values())).clone()
    save_file(weights, path)
    assert run("trainer.train", "--root", root).exit_code == 1
    assert failure(root)["code"] == "unservable"
    assert "lm_head" in failure(root)["message"]


def test_an_adapter_decides_the_shape_of_what_goes_on(make_root: MakeRoot, tuned: Path) -> None:
    """Whatever else is asked: what is trained is what the card says."""
    asked = {"epochs": 1, "learning_rate": 0.001, "lora_rank": 4, "lora_alpha": 8, "target_modules": ["q_proj"]}
    root = goes_on_from(tuned / "model", make_root, hyperparameters=asked, evaluation={"generate": False})
    train(root)
    said = card(root)["hyperparameters"]
    assert (said["lora_rank"], said["lora_alpha"], len(said["target_modules"])) == (8, 16, 7)


def test_an_adapter_does_not_go_on_as_full_weights(make_root: MakeRoot, tuned: Path) -> None:
    full = {"adapter": "full", "lora_rank": None, "lora_alpha": None}
    root = goes_on_from(tuned / "model", make_root, hyperparameters=full)
    assert run("trainer.train", "--root", root).exit_code == 1
    assert failure(root)["code"] == "bad_config"


def test_an_adapter_config_that_is_no_object_is_refused(make_root: MakeRoot, tuned: Path) -> None:
    root = goes_on_from(tuned / "model", make_root)
    (root / "input" / "data" / "adapter" / "adapter_config.json").write_text("[]")
    assert run("trainer.train", "--root", root).exit_code == 1
    assert failure(root)["code"] == "bad_adapter"


def test_an_adapter_with_values_that_are_no_numbers_is_refused(make_root: MakeRoot, tuned: Path) -> None:
    from safetensors.torch import load_file, save_file

    root = goes_on_from(tuned / "model", make_root)
    path = root / "input" / "data" / "adapter" / "adapter_model.safetensors"
    weights = load_file(path)
    next(iter(weights.values()))[0, 0] = float("nan")
    save_file(weights, path)
    assert run("trainer.train", "--root", root).exit_code == 1
    assert failure(root)["code"] == "bad_adapter"


def another_base(root: Path, tmp_path: Path, **config: Any) -> None:
    """The base model with another config over the same weights."""
    link = root / "input" / "data" / "model"
    shutil.copytree(link, tmp_path / "base")
    path = tmp_path / "base" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | config))
    link.unlink()
    link.symlink_to(tmp_path / "base")


QUANTIZED = {"quantization_config": {"quant_method": "gptq", "bits": 4}}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"num_hidden_layers": 6}, "lacks"),
        ({"num_hidden_layers": 1}, "leaves out 3 layers of its weights, model.layers.1 among them"),
        ({"hidden_size": 96, "head_dim": 24}, "does not fit"),
        ({"vocab_size": 10}, "by the config it would be (10, "),
        ({"num_attention_heads": "x"}, "num_attention_heads"),
        ({"max_position_embeddings": None}, "max_position_embeddings"),
        (QUANTIZED, "cannot be loaded: Loading a GPTQ quantized model"),
    ],
)
def test_a_base_model_whose_config_and_weights_do_not_belong_together_is_refused(
    make_root: MakeRoot, tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    root = make_root()
    another_base(root, tmp_path, **change)
    assert run("trainer.train", "--root", root).exit_code == 2
    assert failure(root)["code"] == "bad_base_model"
    assert said in failure(root)["message"]


@pytest.mark.parametrize(
    ("settings", "unexpected", "left_out"),
    [
        ({}, ["model.layers.7.input_layernorm.weight"], ["model.layers.7"]),
        ({}, ["model.layers.0.self_attn.rotary_emb.inv_freq", "lm_head.copy"], []),
        ({}, ["mtp.layers.0.input_layernorm.weight", "vision.layers.9.self_attn.q_proj.weight"], []),
        ({}, ["model.layers.0.extra.weight", "model.layers.9.strange.weight"], []),
        ({"num_nextn_predict_layers": 1}, ["model.layers.2.input_layernorm.weight"], []),
    ],
)
def test_weights_that_are_rightly_left_out_are_no_layers(
    tiny: Path, settings: dict[str, int], unexpected: list[str], left_out: list[str]
) -> None:
    from transformers import AutoConfig, AutoModelForCausalLM

    model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(tiny, num_hidden_layers=2))
    model.config.update(settings)
    assert weights._layers_left_out(model, unexpected) == left_out


def test_rows_longer_than_the_model_can_read_are_not_asked_for(make_root: MakeRoot) -> None:
    root = make_root(hyperparameters={"max_sequence_length": 4096})
    assert run("trainer.train", "--root", root).exit_code == 1
    assert "at most 512 tokens" in failure(root)["message"]


def test_an_automatic_rank_is_resolved_here_as_well(make_root: MakeRoot) -> None:
    asked = {"epochs": 1, "lora_rank": "auto", "lora_alpha": None, "warmup_steps": 1_000}
    root = make_root(hyperparameters=asked, evaluation={"generate": False})
    train(root)
    said = card(root)["hyperparameters"]
    assert said["lora_alpha"] == 2 * said["lora_rank"]
    assert (said["warmup_steps"], said["validation_share"]) == (2, 0)


def test_an_adapter_of_another_base_model_is_refused(make_root: MakeRoot, tuned: Path) -> None:
    from safetensors.torch import load_file, save_file

    root = goes_on_from(tuned / "model", make_root)
    path = root / "input" / "data" / "adapter" / "adapter_model.safetensors"
    save_file({name: weight[:, :-1].contiguous() for name, weight in load_file(path).items()}, path)
    assert run("trainer.train", "--root", root).exit_code == 1
    assert failure(root)["code"] == "bad_adapter"


def test_a_truncated_adapter_file_is_refused(make_root: MakeRoot, tuned: Path) -> None:
    root = goes_on_from(tuned / "model", make_root)
    path = root / "input" / "data" / "adapter" / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    assert run("trainer.train", "--root", root).exit_code == 1
    assert failure(root)["code"] == "bad_adapter"
