"""The adapters of a running server: many beside one base model, each added and removed while the others answer.

An adapter is looked at completely before the live model is touched. Adding and removing happen on the one thread that
generates, between two batches, so nobody is ever answered by half an adapter.
"""

import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

from trainer import adapters, log, templates
from trainer.failures import Failure

BASE = "__base__"  # PEFT's word for a row that no adapter is applied to
_FILES = ("adapter_config.json", "adapter_model.safetensors")
# An adapter of rank 64 on a model of 70 billion parameters has 3.3 GB in 32 bits.
MAX_BYTES = 8 * 1024**3


class AdapterStore:
    """`model` is the base as it was loaded; `scratch` a folder of the store's own, emptied at the start.

    `add` and `remove` must not run beside a forward pass. `unpacked` and `check` may.
    """

    def __init__(self, model: Any, tokenizer: Any, scratch: Path) -> None:
        self.model = model
        self._tokenizer = tokenizer
        self._scratch = scratch
        self._places = _linear_layers(model)
        self._sources: dict[str, str] = {}
        shutil.rmtree(scratch, ignore_errors=True)

    @property
    def sources(self) -> dict[str, str]:
        """Where each adapter came from, by name."""
        return dict(self._sources)

    def __contains__(self, name: str) -> bool:
        return name in self._sources

    def check(self, folder: Path) -> None:
        """Raises Failure(bad_adapter, unservable or template_mismatch) unless the base can serve the adapter."""
        if adapters.shape(folder)["use_dora"]:
            message = "The adapter's use_dora is true, which a server of several adapters cannot apply."
            raise Failure("unservable", message, "Serve it merged into its base model.")
        self._check_places(folder)
        check_rendering(self._tokenizer, folder)
        if (folder / "tokenizer_config.json").exists():
            _check_tokenizer(self._tokenizer, folder)

    def unpacked(self, source: Path, name: str) -> Path:
        """The adapter's folder; an archive is unpacked, its two files alone. Raises Failure(bad_adapter)."""
        if source.is_dir():
            return source
        folder = self._scratch / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            with tarfile.open(source, "r:gz") as archive:
                for member in archive:
                    if member.name.removeprefix("./") in _FILES and member.isfile():
                        _unpack(archive, member, folder)
        except (OSError, tarfile.TarError, EOFError) as error:
            raise Failure("bad_adapter", f"The adapter's archive cannot be read: {error}") from error
        return folder

    def add(self, name: str, source: str, folder: Path) -> None:
        """Put a checked adapter beside the others. Raises Failure(bad_adapter), and then all is as before."""
        from peft import PeftModel

        wrapped, place = isinstance(self.model, PeftModel), str(self.model.device)
        try:
            if wrapped:
                self.model.load_adapter(folder, name, torch_device=place, low_cpu_mem_usage=True)
            else:
                given = {"adapter_name": name, "torch_device": place, "low_cpu_mem_usage": True}
                self.model = PeftModel.from_pretrained(self.model, folder, **given)
            self._require_whole(name)
        except Exception as error:
            self._take_back(name)
            if isinstance(error, Failure):
                raise
            raise Failure("bad_adapter", f"The adapter does not fit the base model: {error}") from error
        self.model.eval()
        self._sources[name] = source
        log.info("adapter added", adapter=name, adapters=len(self._sources))

    def remove(self, name: str) -> None:
        """Raises KeyError for an adapter that is not there."""
        del self._sources[name]
        self._take_back(name)
        shutil.rmtree(self._scratch / name, ignore_errors=True)
        log.info("adapter removed", adapter=name, adapters=len(self._sources))

    def _take_back(self, name: str) -> None:
        # PEFT's model cannot be without an adapter.
        if not self._sources:
            self.model = getattr(self.model, "unload", lambda: self.model)()
        elif name in self.model.peft_config:
            self.model.delete_adapter(name)

    def _require_whole(self, name: str) -> None:
        """A weight that the file does not hold would stay without values."""
        empty = [key for key, value in self.model.named_parameters() if value.is_meta and f".{name}." in key]
        if empty:
            place = empty[0].partition(".lora_")[0].removeprefix("base_model.model.")
            raise Failure("bad_adapter", f"The adapter holds no weights for {place}, which its target_modules name.")

    def _check_places(self, folder: Path) -> None:
        from safetensors import safe_open

        with safe_open(folder / _FILES[1], framework="pt") as weights:
            for key in weights.keys():  # noqa: SIM118 - it is no mapping
                place, _, part = key.removeprefix("base_model.model.").partition(".lora_")
                if place not in self._places:
                    raise Failure("bad_adapter", f"The adapter changes {place}, which the base model does not have.")
                found = weights.get_slice(key).get_shape()
                wide = found[1] if part.startswith("A") else found[0]
                features_out, features_in = self._places[place]
                if wide != (features_in if part.startswith("A") else features_out):
                    message = f"The adapter's {key} has the shape {found}; {place} is {features_out} x {features_in}."
                    raise Failure("bad_adapter", message, "Serve it on the base model that it was trained on.")


def _unpack(archive: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    if member.size > MAX_BYTES:
        raise Failure(
            "bad_adapter", f"The adapter's {member.name} has {member.size:,} bytes; {MAX_BYTES:,} are the most."
        )
    content = archive.extractfile(member)
    assert content is not None
    with (folder / Path(member.name).name).open("wb") as written:
        shutil.copyfileobj(content, written)


def _linear_layers(model: Any) -> dict[str, tuple[int, int]]:
    """(features out, features in) of every linear layer, by its name."""
    import torch

    return {
        name: (module.out_features, module.in_features)
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear)
    }


def check_rendering(tokenizer: Any, folder: Path) -> None:
    """Compare with the model card; a folder without one is a base model, or was not trained here.

    Raises Failure(template_mismatch).
    """
    try:
        card = json.loads((folder / "model_card.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return
    trained, found = card.get("template_sha256"), templates.fingerprint(tokenizer)
    if trained not in (None, found):
        message = f"Chat template or tokenizer have the hash {found[:12]}…; the model was trained with {trained[:12]}…."
        raise Failure("template_mismatch", message)


def _check_tokenizer(served: Any, folder: Path) -> None:
    """The base's tokenizer and template serve every adapter, so one that brings its own has to bring the same."""
    from transformers import AutoTokenizer

    try:
        own = AutoTokenizer.from_pretrained(folder)
    except (OSError, ValueError) as error:
        raise Failure("bad_adapter", f"The adapter's tokenizer cannot be read: {error}") from error
    own.chat_template = own.chat_template or templates.PLAIN_TEMPLATE
    if templates.fingerprint(own) != templates.fingerprint(served):
        message = (
            "The adapter's chat template or tokenizer is not the one that the model was trained with and served by."
        )
        raise Failure("template_mismatch", message)
