"""A finished model in other formats, each read back by code that did not write it: it has to answer like the source.

`export` writes one kind into a draft beside the destination, loads the draft again, compares (probe.py) and only then
renames it: a folder that is there has passed. Everything runs on the CPU, where the numbers do not depend on the GPU
that a job happened to get, and holds one copy of the weights at a time.
"""

import gc
import os
import shutil
import time
from pathlib import Path
from typing import Any

from trainer import files, log
from trainer.exports import probe
from trainer.exports.kinds import KINDS
from trainer.exports.source import Source
from trainer.failures import Failure


def export(kind: str, model_folder: Path, base_folder: Path, destination: Path) -> dict[str, Any]:
    """Export the model to `destination`, which is replaced; the row of the model card's `exports` table.

    `model_folder` holds a PEFT adapter or full weights, `base_folder` the snapshot an adapter belongs to. The row:
    kind, files [{path, size, sha256}], bytes, seconds and proof (see probe.compare). Raises Failure: export_unsupported
    where this model, kind or machine does not go together, export_failed when the proof does not hold. Then, as on a
    full disk, nothing is left behind.
    """
    started = time.monotonic()
    if kind not in KINDS:
        raise Failure("bad_config", f"exports: {kind!r} is unknown; the kinds are {', '.join(KINDS)}.")
    source = Source(model_folder, base_folder)
    draft = destination.with_name(f".{destination.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        proof = _write(kind, source, draft)
        log.info("export proven" if proof["ok"] else "export refused", kind=kind, **proof)
        if not proof["ok"]:
            raise Failure("export_failed", f"The {kind} export does not answer like the model: {_reasons(proof)}.")
        listing = files.listing(draft)
        shutil.rmtree(destination, ignore_errors=True)
        os.replace(draft, destination)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    size = sum(file["size"] for file in listing)
    seconds = round(time.monotonic() - started, 1)
    log.info("exported", kind=kind, bytes=size, seconds=seconds)
    return {"kind": kind, "files": listing, "bytes": size, "seconds": seconds, "proof": proof}


def _write(kind: str, source: Source, draft: Path) -> dict[str, Any]:
    """Write and read back; the proof."""
    chosen = KINDS[kind]
    chosen.check(source)
    log.info("exporting", kind=kind, adapter=source.is_adapter, dtype=source.dtype, computed_in=source.computed_in)
    model = source.load(source.computed_in)
    asked = probe.ask(source.tokenizer, model)
    chosen.write(source, model, draft)
    # The reader brings a second copy; the first has to be gone by then.
    del model
    gc.collect()
    return probe.compare(asked, chosen.read(source, draft), chosen.tolerance(source))


def _reasons(proof: dict[str, Any]) -> str:
    reasons = [f"{name} is false" for name in ("tokens_equal", "template_equal") if not proof[name]]
    differences = (
        f"log-probabilities differ by {proof['mean_difference']} on average and {proof['max_difference']} at most "
        f"(allowed: {proof['mean_tolerance']} and {proof['max_tolerance']})"
    )
    if proof["notices_lost_adapter"] and proof["to_base"] <= proof["mean_difference"]:
        reasons.append("it answers like the base without the adapter")
    return ", ".join([*reasons, differences])
