"""The tuned model and its base, judged one after the other on the same examples."""

import gc
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from trainer import device
from trainer.failures import Failure

# Whether the run would break a limit if it went on for that many seconds: `Budget.exhausted` is one.
Deadline = Callable[[float], Any]
Judge = Callable[[Any, list[int]], Sequence[Any]]


@dataclass(frozen=True)
class Versions:
    """`tuned` and `base` each open a model in evaluation mode. `alternate`: changing between the two costs nothing.

    `settings` is the transformers config of both. One of the two may be None: the other is then judged alone.
    """

    tuned: Callable[[], AbstractContextManager[Any]] | None
    base: Callable[[], AbstractContextManager[Any]] | None
    alternate: bool
    settings: Any

    @property
    def names(self) -> list[str]:
        """Of the versions that there are, in the order of a table."""
        return [name for name in ("base", "tuned") if getattr(self, name)]

    @property
    def context(self) -> int:
        """The most tokens that a prompt and its answer may have together."""
        return getattr(self.settings, "max_position_embeddings", None) or sys.maxsize

    def judge(
        self, batches: list[list[int]], judge: Judge, deadline: Deadline | None = None
    ) -> dict[str, dict[int, Any]]:
        """{"base": {number: result}, "tuned": …} for those numbers in `batches` that each came to before the deadline.

        `judge(model, numbers)` returns one result per number. The batches run in an order of chance, the same every
        time: they are sorted by length, and an early end must not leave only the short ones.
        """
        batches = random.Random(0).sample(batches, len(batches))
        found: dict[str, dict[int, Any]] = {name: {} for name in reversed(self.names)}
        last = self.names[0]
        for group in [[batch] for batch in batches] if self.alternate else [batches]:
            for name, results in found.items():
                with self.open(name) as model:
                    results.update(_run(model, group, judge, deadline, twice=name != last))
        all_of = sorted(set.intersection(*(set(results) for results in found.values())))
        return {name: {number: found[name][number] for number in all_of} for name in self.names}

    def open(self, name: str) -> AbstractContextManager[Any]:
        return getattr(self, name)()


def _run(
    model: Any, batches: list[list[int]], judge: Judge, deadline: Deadline | None, *, twice: bool
) -> dict[int, Any]:
    """The results up to the deadline. `twice`: the other version has still to do the same and needs as long."""
    results: dict[int, Any] = {}
    began, longest = time.monotonic(), 0.0
    for batch in batches:
        started = time.monotonic()
        if deadline and deadline(longest + (started - began + longest if twice else 0.0)):
            break
        results.update(zip(batch, _in_memory(judge, model, batch), strict=True))
        longest = max(longest, time.monotonic() - started)
    return results


def _in_memory(judge: Judge, model: Any, batch: list[int]) -> list[Any]:
    """Judge a batch, in halves where the GPU has no room for all of it."""
    import torch

    try:
        return list(judge(model, batch))
    except torch.OutOfMemoryError:
        if len(batch) == 1:
            raise
    # Here, since the exception above would keep what fills the memory alive.
    torch.cuda.empty_cache()
    middle = len(batch) // 2
    return _in_memory(judge, model, batch[:middle]) + _in_memory(judge, model, batch[middle:])


def of_adapter(model: Any) -> Versions:
    """Of a PEFT model in memory. Its base is the same model with the adapter switched off."""
    return Versions(
        tuned=partial(_judged, model),
        base=partial(_judged, model, without_adapter=True),
        alternate=True,
        settings=model.config.get_text_config(),
    )


def of_weights(model: Any, base: Path) -> Versions:
    """Of a model in memory that was trained in all its weights. For its base, those are put aside and come back."""
    return Versions(
        tuned=partial(_judged, model),
        base=partial(_with_weights_of, base, model),
        alternate=False,
        settings=model.config.get_text_config(),
    )


def of_folders(tuned: Path | None, base: Path) -> Versions:
    """Of a finished model's folder and its base's. Full weights are loaded in turn, so that one is in memory at a time.

    Without a finished model the base alone. Raises Failure(bad_config) for a folder that holds no model.
    """
    for folder, names in ((base, ("config.json",)), (tuned, ("adapter_config.json", "config.json"))):
        if folder and not any((folder / name).exists() for name in names):
            raise Failure("bad_config", f"There is no model in {folder}: it has no {' or '.join(names)}.")
    if tuned is None:
        model = load(base)
        return Versions(None, partial(_judged, model), alternate=True, settings=model.config.get_text_config())
    if (tuned / "adapter_config.json").exists():
        from peft import PeftModel

        return of_adapter(PeftModel.from_pretrained(load(base), tuned))
    from transformers import AutoConfig

    settings = AutoConfig.from_pretrained(tuned).get_text_config()
    return Versions(partial(_loaded, tuned), partial(_loaded, base), alternate=False, settings=settings)


@contextmanager
def _judged(model: Any, without_adapter: bool = False) -> Iterator[Any]:
    was_training = model.training
    model.eval()
    try:
        with model.disable_adapter() if without_adapter else nullcontext():
            yield model
    finally:
        model.train(was_training)


@contextmanager
def _with_weights_of(folder: Path, model: Any) -> Iterator[Any]:
    # In main memory, since a GPU that was just trained on has no room for a second model.
    aside = {name: weight.to("cpu", copy=True) for name, weight in model.state_dict().items()}
    try:
        model.load_state_dict(_read(folder, dtype=model.dtype).state_dict())
        with _judged(model):
            yield model
    finally:
        model.load_state_dict(aside)


@contextmanager
def _loaded(folder: Path) -> Iterator[Any]:
    import torch

    model = load(folder).eval()
    yield model
    del model
    gc.collect()
    torch.cuda.empty_cache()


def load(folder: Path) -> Any:
    """The model in a folder, on the GPUs if there are any. Raises Failure(bad_base_model)."""
    machine = device.detect()
    # Spread over the GPUs where there are several: one process judges.
    place = {"device_map": "auto"} if machine.gpus else {}
    return _read(folder, dtype=machine.weights, **place)


def _read(folder: Path, **settings: Any) -> Any:
    from transformers import AutoModelForCausalLM

    try:
        return AutoModelForCausalLM.from_pretrained(folder, use_safetensors=True, trust_remote_code=False, **settings)
    except (OSError, ValueError) as error:
        raise Failure("bad_base_model", f"The model in {folder} cannot be loaded: {error}") from error
