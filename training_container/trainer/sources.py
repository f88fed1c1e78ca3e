"""All rows of a job, each with the part it belongs to."""

import hashlib
import json
from array import array
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from itertools import repeat
from typing import Any

from trainer import split
from trainer.channels import Channel, Place, Survey, open_channel
from trainer.config import Data
from trainer.failures import Failure
from trainer.folders import Folders

# Counts up with what is made of rows, so that nothing older is taken for it.
VERSION = 1


class Source:
    """Raises Failure(bad_dataset) if there is no training file. `config` is the job's."""

    def __init__(self, folders: Folders, config: Any) -> None:
        tolerated = config.data.invalid_share
        train = open_channel(folders.train, tolerated)
        if train is None:
            raise Failure("bad_dataset", "The train channel holds no .jsonl file.")
        self.train: Channel = train
        self.validation = open_channel(folders.validation, tolerated)
        self.config = config

    def key(self, fingerprint: str) -> str:
        """Equal for equal results: what `load` makes depends on nothing else."""
        asked = self.config.hyperparameters
        files = [channel.sha256 for channel in self._channels]
        content = [VERSION, files, fingerprint, asked.max_sequence_length, self.config.method]
        if not self.validation:
            content += [asked.validation_share, self.config.seed]
        if self.config.data != Data():
            content += [self.config.data.model_dump(), self.config.seed]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:32]

    @cached_property
    def surveys(self) -> list[Survey]:
        """Of the training file and, compared with it, of the validation file if there is one."""
        method = self.config.method
        first = self.train.survey(method)
        return [first, self.validation.survey(method, first.hashes)] if self.validation else [first]

    @property
    def overlap(self) -> int:
        """Validation rows that are also training rows."""
        return self.surveys[1].overlap if self.validation else 0

    def places(self) -> Iterator[Place]:
        """Every row, after every file was checked, those to train on as often as their file weighs.

        Raises Failure(bad_dataset).
        """
        method, weights = self.config.method, self.config.data.weights
        ranks = self._ranks()
        boundary = split.boundary(ranks, self._held_out) if ranks else 0
        for index, place in enumerate(self.train.places(method)):
            if ranks and ranks[index] < boundary:
                yield replace(place, part="validation")
                continue
            times = split.repetitions(place.row, weights.get(place.path.name, 1.0), self.config.seed)
            yield from repeat(replace(place, part="train"), times)
        for place in self.validation.places(method) if self.validation else ():
            yield replace(place, part="validation")

    @property
    def _held_out(self) -> int:
        share = self.config.hyperparameters.validation_share
        return 0 if self.validation else split.held_out_rows(self.surveys[0].rows, share)

    def _ranks(self) -> "array[int]":
        """One per row of the training file; empty where nothing is held out."""
        if not self._held_out:
            return array("Q")
        return array("Q", (split.rank(place.row, self.config.seed) for place in self.train.places(self.config.method)))

    @property
    def _channels(self) -> list[Channel]:
        return [channel for channel in (self.train, self.validation) if channel]
