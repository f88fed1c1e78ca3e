import errno
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.container.conftest import MakeRoot, job_config
from tests.container.programs import run
from trainer import config, failures, suggestions
from trainer.failures import Failure
from trainer.folders import Folders

GOOD = '{"prompt": "2+2?", "completion": "4"}'


def failure(root: Path) -> dict[str, str]:
    content = (root / "output" / "failure").read_bytes()
    assert len(content) <= failures.MAX_FAILURE_BYTES
    assert content.count(b"\n") == 1
    return json.loads(content)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"hyperparameters": {"learning_rat": 1}}, "learning_rat: unknown name, did you mean learning_rate?"),
        ({"hyperparameters": {"batch_size": 0}}, "hyperparameters: batch_size is 0; it must lie from 1"),
        ({"hyperparameters": {"lora_rank": "many"}}, "hyperparameters: lora_rank must be an integer"),
        ({"hyperparameters": {"beta": 0.2}}, "beta means nothing"),
        ({"hyperparameters": {"adapter": "full", "lora_rank": 8}}, "lora_rank means nothing"),
        ({"method": "magic"}, "method: Input should be 'sft'"),
        ({"limits": {"max_money": 1}}, "limits.max_money: unknown name"),
        ({"base_model": {"id": "x"}}, "base_model.revision: Field required"),
        ({"start_from": {"model": "x", "foo": 1}}, "start_from.foo: unknown name, known are: model"),
        ({"names": {"model": "\ud800"}}, "names.model: holds the character U+D800"),
        ({"names": {"model": "a\nb"}}, "names.model: holds the character U+000A"),
        ({"base_model": {"id": "\ud800", "revision": "x"}}, "base_model.id: "),
        ({"evaluation": {"tasks": ["good", "\ud800"]}}, "evaluation.tasks.1: holds the character U+D800"),
        ({"\ud800x": 1}, "\\ud800x: unknown name"),
        ({"hyperparameters": {"\ud800x": 1}}, "\\ud800x: unknown name"),
    ],
)  # fmt: skip
def test_a_wrong_config_names_the_field(tmp_path: Path, changes: dict[str, object], said: str) -> None:
    path = tmp_path / "job.json"
    path.write_text(json.dumps(job_config(**changes)))
    with pytest.raises(Failure) as caught:
        config.load(path)
    assert caught.value.code == "bad_config"
    assert said in caught.value.message


@pytest.mark.parametrize(
    "changes",
    [
        {"hyperparameters": {"epochs": 10**400}},
        {"hyperparameters": {"x" * 100_000: 1}},
        {"hyperparameters": {"target_modules": ["x" * 100_000]}},
        {"x" * 100_000: 1},
        {"seed": 10**400},
        {"method": "x" * 100_000},
    ],
)
def test_a_wrong_config_is_not_echoed_in_full(tmp_path: Path, changes: dict[str, object]) -> None:
    path = tmp_path / "job.json"
    path.write_text(json.dumps(job_config(**changes)))
    with pytest.raises(Failure) as caught:
        config.load(path)
    assert len(caught.value.message) < 800


def test_a_config_that_is_no_object_or_nested_without_end_is_a_wrong_one(tmp_path: Path) -> None:
    path = tmp_path / "job.json"
    for content, said in (("[" * 200_000, "nested too deep"), ("[]", "the whole: Input should be")):
        path.write_text(content)
        with pytest.raises(Failure, match=said):
            config.load(path)


def test_every_wrong_field_is_named_at_once(tmp_path: Path) -> None:
    path = tmp_path / "job.json"
    path.write_text(json.dumps(job_config(seed=-1, attempt=0)))
    with pytest.raises(Failure, match=r"attempt.*seed"):
        config.load(path)


def test_a_wrong_config_fails_before_anything_heavy_is_imported(make_root: MakeRoot) -> None:
    root = make_root(hyperparameters={"epochs": -1})
    probe = (
        "import sys; from trainer import train; code = train.main(); sys.exit(99 if 'torch' in sys.modules else code)"
    )
    done = subprocess.run([sys.executable, "-c", probe, "--root", root], capture_output=True, text=True)
    assert done.returncode == 1
    assert failure(root)["code"] == "bad_config"


def test_wrong_rows_are_named_by_line(make_root: MakeRoot) -> None:
    root = make_root(rows=[GOOD, "{", GOOD, '{"prompt": "and?", "completion": ""}'])
    assert run("trainer.train", "--root", root).exit_code == 1
    said = failure(root)
    assert said["code"] == "bad_dataset"
    assert "train.jsonl line 2:" in said["message"]
    assert "train.jsonl line 4 /completion:" in said["message"]


def test_a_missing_train_channel_is_a_dataset_failure(make_root: MakeRoot) -> None:
    root = make_root()
    (root / "input" / "data" / "train" / "train.jsonl").unlink()
    assert run("trainer.train", "--root", root).exit_code == 1
    assert failure(root)["code"] == "bad_dataset"


def test_a_full_disk_is_said_to_be_one(make_root: MakeRoot) -> None:
    root = make_root()
    # The adapter of the tiny model takes 300 KB, so the first checkpoint does not fit.
    assert run("trainer.train", "--root", root, max_file_bytes=100_000).exit_code == 2
    assert failure(root)["code"] == "disk_full"
    assert "larger volume" in failure(root)["hint"]
    assert not (root / "model" / "model_card.json").exists()
    assert not (root / "model.draft").exists()


def poison(root: Path) -> None:
    """Give the run a base model that computes no numbers."""
    from safetensors.numpy import load_file, save_file

    link = root / "input" / "data" / "model"
    poisoned = root / "poisoned"
    shutil.copytree(link, poisoned)
    weights = load_file(poisoned / "model.safetensors")
    weights["model.norm.weight"] = weights["model.norm.weight"] * float("nan")
    save_file(weights, poisoned / "model.safetensors", metadata={"format": "pt"})
    link.unlink()
    link.symlink_to(poisoned)


def test_a_loss_that_is_not_a_number_stops_the_run_and_is_never_saved(make_root: MakeRoot) -> None:
    root = make_root()
    poison(root)
    assert run("trainer.train", "--root", root).exit_code == 1
    assert failure(root)["code"] == "nan_loss"
    assert not list((root / "checkpoints").glob("checkpoint-*"))


def test_a_base_model_that_is_not_there_is_our_fault(make_root: MakeRoot) -> None:
    root = make_root()
    (root / "input" / "data" / "model").unlink()
    assert run("trainer.train", "--root", root).exit_code == 2
    assert failure(root)["code"] == "bad_base_model"
    traceback = json.loads((root / "checkpoints" / "failure.json").read_text())
    assert traceback["attempt"] == 1
    assert "read_config" in traceback["traceback"]


def test_a_base_model_with_a_broken_chat_template_is_our_fault(
    make_root: MakeRoot, with_template: Callable[[str], Path]
) -> None:
    root = make_root()
    (root / "input" / "data" / "model").unlink()
    (root / "input" / "data" / "model").symlink_to(
        with_template("{% for message in messages %}\n{{ message.content }}")
    )
    assert run("trainer.train", "--root", root).exit_code == 2
    said = failure(root)
    assert said["code"] == "bad_base_model"
    assert said["message"].startswith("The base model's chat template is broken in line 2: Unexpected end of template.")
    assert "chat template" in said["hint"]
    details = json.loads((root / "checkpoints" / "failure.json").read_text())
    assert "TemplateSyntaxError" in details["traceback"]
    assert details["evidence"][-1].startswith("trainer.failures.Failure: The base model's chat template is broken")


def test_a_failure_tells_what_it_saw_and_what_to_change(make_root: MakeRoot) -> None:
    root = make_root()
    asked = config.load(root / "input" / "data" / "config" / "job.json")
    failures.report(Failure("divergence", "The loss has climbed."), Folders(root), asked)
    details = json.loads((root / "checkpoints" / "failure.json").read_text())
    assert details["suggestion"] == {"hyperparameters": {"learning_rate": 0.004, "warmup_steps": 20}}
    assert details["evidence"][-1] == "trainer.failures.Failure: The loss has climbed."


@pytest.mark.parametrize(
    ("asked", "changed"),
    [
        ({"max_sequence_length": 4096}, {"max_sequence_length": 2048}),
        ({"max_sequence_length": 256}, {"adapter": "qlora"}),
        ({"adapter": "full", "lora_rank": None, "lora_alpha": None}, {"adapter": "lora"}),
    ],
)
def test_a_lack_of_memory_suggests_what_the_ladder_could_not_do(
    asked: dict[str, object], changed: dict[str, object]
) -> None:
    parsed = config.JobConfig.model_validate(job_config(hyperparameters=asked))
    assert suggestions.change("oom", parsed.hyperparameters) == {"hyperparameters": changed}


def test_a_fault_of_the_data_suggests_no_setting() -> None:
    parsed = config.JobConfig.model_validate(job_config())
    assert suggestions.change("bad_dataset", parsed.hyperparameters) is None


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "disk_full"),
        (RuntimeError("[enforce fail at inline_container.cc:603] . unexpected pos 64 vs 0"), "disk_full"),
        (MemoryError(), "oom"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 99 bytes"), "oom"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"), "oom"),
        (RuntimeError("[gloo/transport/tcp/pair.cc:551] Connection closed by peer [127.0.0.1]:24137"), "worker_lost"),
        (KeyError("surprise"), "internal"),
        (KeyboardInterrupt(), "interrupted"),
    ],
)
def test_errors_of_libraries_get_a_code(error: BaseException, code: str) -> None:
    assert failures.classify(error).code == code


def test_the_failure_file_stays_small_and_whole_whatever_the_message(tmp_path: Path) -> None:
    failures.report(Failure("internal", "Zürich → 東京 " * 500), Folders(tmp_path))
    said = failure(tmp_path)
    assert said["message"].startswith("Zürich → 東京")
    assert said["hint"] == failures.CODES["internal"][1]


@pytest.mark.parametrize("character", ["x", "\ud800", "\x01", '"', "😀", "\u00a0"])
def test_a_failure_is_reported_whatever_its_characters_and_length(tmp_path: Path, character: str) -> None:
    for length in (1, 300, 20_000):
        error = Failure("bad_tasks", character * length, hint=character * length)
        assert failures.report(error, Folders(tmp_path)) == 1
        assert failure(tmp_path)["code"] == "bad_tasks"
        json.loads((tmp_path / "checkpoints" / "failure.json").read_text())["traceback"].encode()


def test_an_unexpected_failure_is_reported_whatever_its_characters(tmp_path: Path) -> None:
    assert failures.report(KeyError("\ud800"), Folders(tmp_path)) == 2
    assert failure(tmp_path)["code"] == "internal"


def test_a_suggestion_starts_from_what_auto_came_to(make_root: MakeRoot) -> None:
    asked = {"learning_rate": "auto", "epochs": 1}
    root = make_root(hyperparameters=asked)
    poison(root)
    assert run("trainer.train", "--root", root).exit_code == 1
    details = json.loads((root / "checkpoints" / "failure.json").read_text())
    assert details["code"] == "nan_loss"
    assert details["suggestion"] == {"hyperparameters": {"learning_rate": 6e-5, "warmup_steps": 20}}
