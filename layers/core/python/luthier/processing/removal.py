"""Removing what processings have left of a model, with the model."""

from collections.abc import Iterator
from typing import Any

from luthier import objects, table
from luthier.processing.entity import EVALUATE, PACKAGE, Processing
from luthier.processing.store import ProcessingStore

# What is derived from a model and worth nothing without it. An adopted model lies in the folder of its processing, and
# goes by its own address.
_DERIVED = (EVALUATE, PACKAGE)


class ProcessingRemoval:
    def __init__(self, store: ProcessingStore, s3: Any, artifacts_bucket: str) -> None:
        self._store = store
        self._s3 = s3
        self._bucket = artifacts_bucket

    def at_work(self, organization_id: str, model_id: str) -> list[str]:
        """Ids of the processings that read a model now, or will."""
        return [found.id for found in self._derived(organization_id, model_id) if found.is_live]

    def remove(self, organization_id: str, model_id: str) -> bool:
        """Delete the processings of a model, objects first; False, and nothing is deleted, while one is at work.

        Whoever dies in between begins again.
        """
        found = list(self._derived(organization_id, model_id))
        if any(processing.is_live for processing in found):
            return False
        for processing in found:
            objects.delete_under(self._s3, self._bucket, f"{processing.folder}/")
            try:
                self._store.remove(processing)
            except table.ConditionFailed:
                # Somebody has started it again, or another sweep was faster: the next one sees.
                return False
        return True

    def _derived(self, organization_id: str, model_id: str) -> Iterator[Processing]:
        for kind in _DERIVED:
            yield from self._store.of_subject(organization_id, kind, model_id, limit=None)
