"""One run of the trainer: what is asked for, where things lie, what it may spend, whether it was told to stop."""

from dataclasses import dataclass

from trainer.budget import Budget
from trainer.config import JobConfig
from trainer.folders import Folders
from trainer.interruption import Interruption


@dataclass
class Job:
    """`config` is what was asked for until preparation has put a value in place of every "auto"."""

    config: JobConfig
    folders: Folders
    budget: Budget
    interruption: Interruption
