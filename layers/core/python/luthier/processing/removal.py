"""Removing what processings have left of a model or a file, with it."""

from collections.abc import Iterator, Sequence
from typing import Any

from luthier import objects, table
from luthier.processing.entity import EVALUATE, PACKAGE, Processing
from luthier.processing.store import ProcessingStore

# What is derived from a model and worth nothing without it. An adopted model lies in the folder of its processing, and
# goes by its own address.
_DERIVED = (EVALUATE, PACKAGE)


class ProcessingRemoval:
    """kinds: of the processings that go with their subject."""

    def __init__(self, store: ProcessingStore, s3: Any, artifacts_bucket: str, kinds: Sequence[str] = _DERIVED) -> None:
        self._store = store
        self._s3 = s3
        self._bucket = artifacts_bucket
        self._kinds = kinds

    def at_work(self, organization_id: str, subject: str) -> list[str]:
        """Ids of the processings that read it now, or will."""
        return [found.id for found in self._derived(organization_id, subject) if found.is_live]

    def remove(self, organization_id: str, subject: str) -> bool:
        """Delete the processings of a subject, objects first; False, and nothing is deleted, while one is at work.

        Whoever dies in between begins again.
        """
        found = list(self._derived(organization_id, subject))
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

    def _derived(self, organization_id: str, subject: str) -> Iterator[Processing]:
        for kind in self._kinds:
            yield from self._store.of_subject(organization_id, kind, subject, limit=None)
