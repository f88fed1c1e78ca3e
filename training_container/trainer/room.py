"""Whether the disk holds what the run will write, asked before hours are spent."""

import shutil

from trainer.failures import Failure
from trainer.job import Job

# Two checkpoints are kept while a third is written.
CHECKPOINTS = 3
# A trained parameter in fp32 with AdamW's two moments.
CHECKPOINT_BYTES = 12
# Tokenizer, card, metrics, logs.
OTHER_BYTES = 50_000_000


def needed(job: Job, parameters: int, trained: int) -> int:
    """Bytes of checkpoints, model and exports; exports hold all weights, in 16 bits, with a draft beside them."""
    exports = 2 * 2 * parameters * len(job.config.exports_wanted)
    return CHECKPOINTS * CHECKPOINT_BYTES * trained + 4 * trained + exports + OTHER_BYTES


def check(job: Job, parameters: int, trained: int) -> None:
    """Raises Failure(disk_full) with both numbers."""
    wanted, free = needed(job, parameters, trained), shutil.disk_usage(job.folders.root).free
    if wanted > free:
        message = f"The run will write up to {wanted / 1e9:.1f} GB and the disk has {free / 1e9:.1f} GB free."
        raise Failure("disk_full", message)
