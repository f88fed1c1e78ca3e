"""Merged weights that came from elsewhere: of the base model's architecture and sizes, whole, and without code."""

import shutil
from pathlib import Path
from typing import Any

from trainer import failures, files, weights
from trainer.adoption.folder import CONFIG, INDEX, WEIGHTS, Sent, needs_code, read_json
from trainer.evaluation import versions
from trainer.evaluation.versions import Versions
from trainer.failures import Failure

GENERATION = "generation_config.json"
# Of which a server has prepared its memory for the base model.
_SIZES = (
    *("num_hidden_layers", "hidden_size", "intermediate_size", "num_attention_heads", "num_key_value_heads"),
    *("head_dim", "vocab_size"),
)
_TYPES = ("float32", "bfloat16", "float16")
_OTHER_BASE = "Import it with the base model that it was made from."


def check(sent: Sent, base: Path) -> None:
    """What can be told from the settings. Raises Failure(bad_import, unservable)."""
    told = read_json(sent.folder / CONFIG)
    if "auto_map" in told:
        raise needs_code(CONFIG)
    if told.get("quantization_config"):
        message = "The weights are quantized; the server quantizes by itself where it is asked to."
        raise Failure("unservable", message, "Import the merged weights in bfloat16, float16 or float32.")
    own, expected = _config(sent.folder), _config(base)
    for name, found, wanted in _differences(own, expected):
        message = f"{CONFIG}: {name} is {found!r:.60}; the base model's is {wanted!r:.60}."
        raise Failure("unservable", message, _OTHER_BASE)
    if str(own.dtype or "float32").removeprefix("torch.") not in _TYPES:
        message = f"{CONFIG}: dtype is {own.dtype!s:.60}; it has to be one of {', '.join(_TYPES)}."
        raise Failure("unservable", message, "Save the weights in one of these types.")


def _config(folder: Path) -> Any:
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:
        # A value of a wrong type breaks the library anywhere.
        if failures.classify(error).code != "internal":
            raise
        raise Failure("bad_import", f"{CONFIG} cannot be read: {' '.join(str(error).split())[:300]}") from error


def _differences(own: Any, expected: Any) -> Any:
    if own.model_type != expected.model_type:
        yield "model_type", own.model_type, expected.model_type
    if own.architectures != expected.architectures:
        yield "architectures", own.architectures, expected.architectures
    texts = own.get_text_config(), expected.get_text_config()
    for name in _SIZES:
        found, wanted = (getattr(text, name, None) for text in texts)
        if found != wanted:
            yield name, found, wanted


def tokenizer(sent: Sent, base: Any, settings: Any) -> Any:
    """The one that came along, else the base's. Raises Failure(unservable) for one that the weights do not cover."""
    if not sent.has_tokenizer:
        return base
    found = sent.tokenizer()
    if len(found) > settings.vocab_size:
        message = f"The tokenizer has {len(found)} tokens; the weights cover {settings.vocab_size}."
        raise Failure("unservable", message, "Bring the tokenizer that the model was trained with.")
    return found


def parts(sent: Sent) -> list[str]:
    """Names of the files with weights. Raises Failure(bad_import) for an index that leads anywhere but beside it."""
    if (sent.folder / WEIGHTS).is_file():
        return [WEIGHTS]
    named = read_json(sent.folder / INDEX).get("weight_map")
    if not isinstance(named, dict) or not all(isinstance(name, str) for name in named.values()):
        raise Failure("bad_import", f"{INDEX} has no weight_map from each weight to its file.")
    found = sorted(set(named.values()))
    for name in found:
        if Path(name).name != name or not name.endswith(".safetensors") or not (sent.folder / name).is_file():
            raise Failure("bad_import", f"{INDEX} names {name!r:.80}, which is no safetensors file beside it.")
    return found


def write(sent: Sent, draft: Path) -> None:
    """Copy the weights and, read and written anew, the settings. Raises Failure(bad_import)."""
    for name in parts(sent):
        _require_numbers(sent.folder / name)
        shutil.copyfile(sent.folder / name, draft / name)
    if not (draft / WEIGHTS).exists():
        files.write_json(draft / INDEX, read_json(sent.folder / INDEX))
    _config(sent.folder).save_pretrained(draft)
    if (sent.folder / GENERATION).is_file():
        _write_generation(sent, draft)


def _write_generation(sent: Sent, draft: Path) -> None:
    from transformers import GenerationConfig

    read_json(sent.folder / GENERATION)
    try:
        GenerationConfig.from_pretrained(sent.folder).save_pretrained(draft)
    except (OSError, ValueError, TypeError) as error:
        if failures.classify(error).code != "internal":
            raise
        raise Failure("bad_import", f"{GENERATION} is wrong: {' '.join(str(error).split())[:300]}") from error


def _require_numbers(path: Path) -> None:
    """Raises Failure(bad_import) for a file that is damaged or holds values that are no numbers; a tensor at a time."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            for name in list(file.keys()):
                weight = file.get_tensor(name)
                if weight.is_floating_point() and not weight.isfinite().all():
                    raise Failure("bad_import", f"The weight {name} in {path.name} holds values that are no numbers.")
    except (OSError, SafetensorError) as error:
        raise Failure("bad_import", f"{path.name} cannot be read: {error}") from error


def load(draft: Path, base: Path) -> Versions:
    """Tuned and base, one in memory at a time. Raises Failure(bad_import) where config and weights do not belong
    together."""
    from transformers import AutoModelForCausalLM

    try:
        model, told = AutoModelForCausalLM.from_pretrained(
            draft,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
            # They are refused below, by name.
            ignore_mismatched_sizes=True,
        )
    except Exception as error:
        if failures.classify(error).code != "internal":
            raise
        raise Failure("bad_import", f"The model cannot be loaded: {' '.join(str(error).split())[:300]}") from error
    weights.check_whole(model, told, code="bad_import", whose="imported")
    del model
    return versions.of_folders(draft, base)


def described(draft: Path) -> dict[str, Any]:
    """What the card says of it."""
    count = weights.parameters(draft)
    return {
        "serving": {"kind": "model", "path": "."},
        "parameters": count,
        "trainable_parameters": count,
        "strategy": "full",
        "adapter": {},
    }
