"""Take over a model that was trained elsewhere: `python -m trainer.adopt --root R --name N --base-model ID`.

A SageMaker job of the training image: input/data/source/ holds a PEFT adapter, or merged weights as safetensors, and
input/data/base/ the base model's snapshot. It is checked, loaded, asked three questions beside its base, and written
to model/ as a run would leave it: weights, tokenizer, serving/adapter.tar.gz, proof.json and, last, model_card.json.
Exit codes and output/failure are those of trainer.train.
"""

import argparse
import json
import sys
import tempfile
import time
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainer import archives, device, failures, files, log, templates
from trainer.adoption import adapter, folder, merged
from trainer.failures import Failure
from trainer.folders import Folders
from trainer.interruption import Interruption

MOST_CHARACTERS = 200


@dataclass(frozen=True)
class Order:
    """Under which name to take the model over, and the id of its base model."""

    root: Path
    name: str
    base_model: str

    def check(self) -> None:
        """Raises Failure(bad_config) for the first argument that is wrong."""
        for option, text in (("--name", self.name), ("--base-model", self.base_model)):
            if not 1 <= len(text) <= MOST_CHARACTERS or any(unicodedata.category(one)[0] == "C" for one in text):
                message = f"{option} is {text!r:.80}; it must have 1 to {MOST_CHARACTERS} visible characters."
                raise Failure("bad_config", message, "Give another text.")

    @property
    def source(self) -> Path:
        return self.root / "input" / "data" / "source"

    @property
    def base(self) -> Path:
        return self.root / "input" / "data" / "base"


def main() -> int:
    order = _arguments()
    folders = Folders(order.root)
    try:
        Interruption().listen()
        order.check()
        device.prepare_environment()
        log.capture_libraries()
        log.capture_transformers()
        adopt(order)
    except BaseException as error:
        return failures.report(error, folders)
    return 0


def _arguments() -> Order:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=Path("/opt/ml"), help="folder of SageMaker's layout")
    parser.add_argument("--name", required=True, help="the new model's name")
    parser.add_argument("--base-model", required=True, help="id of the base model in input/data/base")
    # SageMaker appends the word "train" to whatever the image starts.
    parser.add_argument("command", nargs="?", choices=["train"], help=argparse.SUPPRESS)
    given = parser.parse_args()
    return Order(given.root.resolve(), given.name, given.base_model)


def adopt(order: Order) -> None:
    """Raises Failure for whatever is wrong with the model or its base; then model/ is left without a card."""
    started = time.monotonic()
    from trainer import export

    sent = folder.look(order.source)
    log.info("adopting", name=order.name, base_model=order.base_model, adapter=sent.is_adapter)
    base = templates.load_tokenizer(order.base)
    base.chat_template = base.chat_template or templates.PLAIN_TEMPLATE
    # On the job's volume, so that what is written moves without being copied.
    with tempfile.TemporaryDirectory(prefix="adopt-", dir=order.root) as place:
        draft = Path(place)
        card = (_adapter if sent.is_adapter else _merged)(order, sent, base, draft)
        seconds = round(time.monotonic() - started, 1)
        files.write_json(draft / export.CARD, {**card, "files": files.listing(draft), "seconds": seconds})
        export.move_in(draft, Folders(order.root).model)
    log.info("adopted", name=order.name, serving=card["serving"]["kind"], seconds=seconds)


def _adapter(order: Order, sent: folder.Sent, base: Any, draft: Path) -> dict[str, Any]:
    adapter.check(sent)
    tokenizer = adapter.tokenizer(sent, base)
    folder.tell_left_out(sent, adapter.TAKEN)
    models = adapter.load(sent, order.base)
    content = _prove(models, tokenizer, draft)
    adapter.require_effect(content)
    tokenizer.save_pretrained(draft)
    base_model = _base_model(order)
    adapter.write(sent, base_model, draft)
    archives.pack_adapter(draft)
    return _card(order, tokenizer, adapter.described(sent, order.base), models.settings)


def _merged(order: Order, sent: folder.Sent, base: Any, draft: Path) -> dict[str, Any]:
    merged.check(sent, order.base)
    folder.tell_left_out(sent, [*merged.parts(sent), folder.CONFIG, folder.INDEX, merged.GENERATION])
    merged.write(sent, draft)
    models = merged.load(draft, order.base)
    tokenizer = merged.tokenizer(sent, base, models.settings)
    tokenizer.chat_template = tokenizer.chat_template or templates.PLAIN_TEMPLATE
    tokenizer.save_pretrained(draft)
    _prove(models, tokenizer, draft)
    return _card(order, tokenizer, merged.described(draft), models.settings)


def _prove(models: Any, tokenizer: Any, draft: Path) -> dict[str, Any]:
    """Ask, and keep the answers as proof.json. Raises Failure(unservable) for answers that are no numbers."""
    from trainer import proof

    content = proof.of_models(models, tokenizer, proof.general_prompts(tokenizer))
    files.write_json(draft / proof.FILE, content)
    return content


def _base_model(order: Order) -> dict[str, Any]:
    """The revision is the staged snapshot's own word; None where it brings none."""
    try:
        staged = json.loads((order.base / "manifest.json").read_text(encoding="utf-8"))
        return {"id": order.base_model, "revision": staged["revision"]}
    except (OSError, ValueError, KeyError, TypeError):
        return {"id": order.base_model, "revision": None}


def _card(order: Order, tokenizer: Any, told: dict[str, Any], settings: Any) -> dict[str, Any]:
    from trainer import export, facts

    return {
        "format_version": export.FORMAT_VERSION,
        "name": order.name,
        "source": "import",
        "base_model": _base_model(order),
        "named_base": str(told.get("named_base") or "")[:MOST_CHARACTERS] or None,
        "serving": told["serving"],
        "architecture": facts.architecture(settings),
        "training": facts.elsewhere(told["strategy"], told["adapter"]),
        "metrics": {},
        "evaluation": None,
        "template_sha256": templates.fingerprint(tokenizer),
        "versions": export.versions(),
        "parameters": told["parameters"],
        "trainable_parameters": told["trainable_parameters"],
        "exports": [],
    }


if __name__ == "__main__":
    sys.exit(main())
