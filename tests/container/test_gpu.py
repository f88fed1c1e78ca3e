"""What only a GPU shows: bf16, the flash kernel, 4-bit weights, and a memory that is really full.

OMP_NUM_THREADS=8 python -m pytest tests/container/test_gpu.py
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.container.conftest import MakeRoot
from tests.container.programs import Program, run, start
from tests.container.test_training import card, metrics

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
SHORT = {"epochs": 4, "learning_rate": 0.002}
# Takes all memory but so many GiB, says so, and keeps it until it is killed.
HOG = """
import sys, torch
keep = int(float(sys.argv[1]) * 2**30)
held = torch.empty(torch.cuda.mem_get_info()[0] - keep, dtype=torch.uint8, device="cuda")
print("full", flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def llama(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Llama-3.2-1B's layers with the tiny model's tokenizer, random weights in bf16: 2 GB."""
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("models") / "llama"
    tokenizer = AutoTokenizer.from_pretrained(tiny)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=2048,
        intermediate_size=8192,
        num_hidden_layers=16,
        num_attention_heads=32,
        num_key_value_heads=8,
        max_position_embeddings=8192,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.device("cuda"):
        model = LlamaForCausalLM(config).to(torch.bfloat16)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    del model
    torch.cuda.empty_cache()
    return folder


def test_liger_changes_the_loaded_model_and_leaves_others_alone(llama: Path) -> None:
    from transformers import AutoModelForCausalLM
    from transformers.models.llama import modeling_llama

    from trainer import kernels

    norm = modeling_llama.LlamaRMSNorm
    plain, changed = (AutoModelForCausalLM.from_pretrained(llama, device_map={"": 0}) for _ in range(2))
    # Not the padding token, whose embedding is zero: so are its logits, and their direction is none.
    tokens = torch.arange(3, 43, device="cuda")[None]
    assert kernels.use(changed)
    with torch.no_grad():
        expected, given = plain(tokens).logits.float(), changed(tokens).logits.float()
    assert torch.nn.functional.cosine_similarity(given, expected, dim=-1).min() > 0.999
    assert modeling_llama.LlamaRMSNorm is norm
    elsewhere = AutoModelForCausalLM.from_pretrained(llama)
    with torch.no_grad():
        assert elsewhere(tokens.cpu()).logits.isfinite().all()


def root_of(make_root: MakeRoot, base: Path, **changes: Any) -> Path:
    root = make_root(**changes)
    (root / "input" / "data" / "model").unlink()
    (root / "input" / "data" / "model").symlink_to(base)
    return root


def finished(root: Path) -> Program:
    program = run("trainer.train", "--root", root)
    assert program.exit_code == 0, program.output.read_text()[-3000:]
    return program


def said(program: Program, message: str) -> list[dict[str, Any]]:
    return [line for line in program.lines if line["message"] == message]


def test_ligers_loss_and_gradient_are_those_of_plain_pytorch() -> None:
    from trainer import loss

    torch.manual_seed(0)
    head = torch.nn.Linear(512, 9_000, bias=False, device="cuda", dtype=torch.bfloat16).requires_grad_(False)
    hidden = torch.randn(3_000, 512, device="cuda", dtype=torch.bfloat16)
    targets = torch.cat([head(hidden[:1_000]).argmax(-1), torch.randint(9_000, (2_000,), device="cuda")])
    (total, correct, gradient), (plain_total, plain_correct, plain_gradient) = (
        compute(hidden, head.weight, None, targets) for compute in (loss._by_liger, loss._by_chunks)
    )
    assert total.item() == pytest.approx(plain_total.item(), rel=1e-4)
    assert abs(correct.item() - plain_correct.item()) <= 3
    assert (
        torch.nn.functional.cosine_similarity(gradient.flatten().float(), plain_gradient.flatten().float(), 0) > 0.9999
    )


@pytest.mark.parametrize("adapter", ["lora", "qlora", "full"])
def test_a_larger_model_learns_with_each_adapter(make_root: MakeRoot, llama: Path, adapter: str) -> None:
    own = {"learning_rate": 1e-4, "lora_rank": None, "lora_alpha": None} if adapter == "full" else {}
    exports = ["merged"] if adapter == "lora" else []
    changes = {"hyperparameters": SHORT | {"adapter": adapter} | own, "evaluation": {"generate": False}}
    root = root_of(make_root, llama, validation=True, exports=exports, **changes)
    finished(root)
    losses = list(metrics(root).values())
    assert losses[-1] < 0.97 * losses[0]
    evaluation = card(root)["evaluation"]
    assert evaluation["tuned"]["loss"] < evaluation["base"]["loss"]


def test_rows_of_different_lengths_go_through_the_flash_kernel() -> None:
    from trainer import attention

    lengths = [5, 700, 3, 60]
    bounds = torch.tensor([0, *lengths], device="cuda").cumsum(0).to(torch.int32)
    states = [torch.randn(sum(lengths), 8, 64, device="cuda", dtype=torch.bfloat16, requires_grad=True) for _ in "qkv"]
    kernel = attention._kernel(states[0])
    assert kernel is not attention.by_row
    results = []
    for compute in (kernel, attention.by_row):
        result = compute(*states, bounds, bounds, 700, 700, scale=0.125, window_size=attention.CAUSAL)
        gradients = torch.autograd.grad(result.float().square().sum(), states)
        results.append(torch.cat([part.float().flatten() for part in (result, *gradients)]))
    assert torch.nn.functional.cosine_similarity(*results, dim=0) > 0.9999


def test_a_killed_run_continues_with_the_same_losses(make_root: MakeRoot, llama: Path) -> None:
    whole, killed = (root_of(make_root, llama, hyperparameters=SHORT, evaluation={"generate": False}) for _ in range(2))
    finished(whole)
    program = start("trainer.train", "--root", killed)
    program.wait_for(lambda: (killed / "checkpoints" / "metrics.jsonl").exists() and len(metrics(killed)) > 8)
    program.terminate()
    assert program.exit_code == 3
    finished(killed)
    assert metrics(killed) == pytest.approx(metrics(whole), rel=2e-2)


@pytest.fixture
def crowded() -> Iterator[Any]:
    """Fills the GPU but for so many GiB, as another process may."""
    hogs = []

    def crowd(free: float) -> None:
        hog = subprocess.Popen([sys.executable, "-c", HOG, str(free)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        hogs.append(hog)
        assert hog.stdout is not None
        assert hog.stdout.readline() == b"full\n"

    yield crowd
    for hog in hogs:
        hog.kill()
        hog.wait()


def long_rows() -> list[str]:
    """16 rows of 2,000 to 4,000 tokens."""
    answers = [" ".join(f"{number * 7919 % 1000}" for number in range(size)) for size in range(700, 1100, 25)]
    messages = [[{"role": "user", "content": "Count."}, {"role": "assistant", "content": text}] for text in answers]
    return [json.dumps({"messages": row}) for row in messages]


def test_a_batch_that_does_not_fit_is_cut_and_trains_the_same(make_root: MakeRoot, llama: Path, crowded: Any) -> None:
    asked = SHORT | {"epochs": 1, "batch_size": 8, "max_sequence_length": 4096}
    changes = {"rows": long_rows(), "hyperparameters": asked, "evaluation": {"generate": False}}
    whole, cramped = (root_of(make_root, llama, **changes) for _ in range(2))
    roomy = finished(whole)
    crowded(9)
    program = finished(cramped)
    rungs = [said(each, "the longest batch fits")[0]["rung"] for each in (roomy, program)]
    print(rungs, said(program, "memory estimated"), said(program, "the longest batch does not fit"))
    assert rungs[0] == "8 rows at once, 1 times"
    assert rungs[1] != rungs[0]
    assert metrics(cramped) == pytest.approx(metrics(whole), rel=2e-2)


def test_no_room_for_a_single_row_is_told_as_a_lack_of_memory(make_root: MakeRoot, llama: Path, crowded: Any) -> None:
    crowded(2)
    root = root_of(make_root, llama, rows=long_rows(), hyperparameters=SHORT | {"max_sequence_length": 4096})
    assert run("trainer.train", "--root", root).exit_code == 1
    assert json.loads((root / "output" / "failure").read_text())["code"] == "oom"
