"""Importing models that were trained elsewhere: the files first, then a processing that checks and adopts them."""

from dataclasses import asdict, dataclass
from typing import Any

from luthier import clock, ids, table
from luthier.accounts.entity import Principal
from luthier.catalog import service as catalog
from luthier.catalog.entity import BaseModel
from luthier.idempotency import ONCE, Claim, Claims, Repetition
from luthier.imports import files, refusals
from luthier.imports.entity import (
    AWAITING_UPLOAD,
    CHECKING,
    CHECKPOINT,
    COMPLETED,
    FAILED,
    ID_PREFIX,
    S3,
    UPLOAD,
    Import,
    ImportRequest,
    Source,
)
from luthier.imports.sources import Found, ImportSources, Upload
from luthier.imports.store import ImportStore
from luthier.jobs.checkpoints import Checkpoint
from luthier.jobs.sharing import SharingService
from luthier.models import names
from luthier.models.service import ModelService
from luthier.processing.entity import ADOPT, LIVE, Processing
from luthier.processing.entity import COMPLETED as DONE
from luthier.processing.service import ProcessingService

# A model made from a base is as large as the base in 32 bits, and has a tokenizer and an archive beside it.
_BYTES_PER_PARAMETER, _BESIDE_BYTES = 4, 2 << 30


@dataclass(frozen=True)
class Adoption:
    """An import, and the processing that adopts it once its files are there."""

    imported: Import
    processing: Processing | None

    @property
    def status(self) -> str:
        if self.processing is None:
            return AWAITING_UPLOAD
        if self.processing.status in LIVE:
            return CHECKING
        return COMPLETED if self.processing.status == DONE else FAILED


class ImportService:
    def __init__(
        self,
        store: ImportStore,
        sources: ImportSources,
        checkpoints: SharingService,
        models: ModelService,
        processings: ProcessingService,
        claims: Claims,
        now: clock.Clock = clock.now,
    ) -> None:
        self._store = store
        self._sources = sources
        self._checkpoints = checkpoints
        self._models = models
        self._processings = processings
        self._claims = claims
        self._now = now

    def create(self, principal: Principal, wish: ImportRequest, repetition: Repetition = ONCE) -> Adoption:
        """Begin an import: files in S3 are checked at once, uploads when they are complete.

        Raises InvalidRequest, PayloadTooLarge, and Conflict for a name that is taken.
        """
        if not repetition.can_repeat:
            return self._make(principal, wish, None)
        claim = repetition.claim(principal, "models.import", asdict(wish))
        return self._claims.once(
            claim, lambda: self._make(principal, wish, claim), lambda made: self.get(principal, made)
        )

    def uploads(self, adoption: Adoption) -> list[Upload]:
        """Where the files go; nowhere once they have arrived."""
        return self._sources.uploads(adoption.imported) if adoption.status == AWAITING_UPLOAD else []

    def complete(self, principal: Principal, import_id: str) -> Adoption:
        """Check what was uploaded. Safe to repeat; an import that failed is tried again.

        Raises NotFound, and Conflict while files are missing.
        """
        found = self.get(principal, import_id)
        if found.status == AWAITING_UPLOAD and (missing := self._sources.missing(found.imported)):
            raise refusals.not_uploaded(import_id, missing)
        if found.status in (AWAITING_UPLOAD, FAILED):
            return Adoption(found.imported, self._processings.ensure(**_wish(found.imported)))
        return found

    def get(self, principal: Principal, import_id: str) -> Adoption:
        """Raises NotFound."""
        imported = self._store.get(principal.organization_id, import_id)
        if imported is None:
            raise refusals.not_found(import_id)
        wish = _wish(imported)
        asked = {name: wish[name] for name in ("organization_id", "kind", "subject", "spec")}
        return Adoption(imported, self._processings.peek(**asked))

    def _make(self, principal: Principal, wish: ImportRequest, claim: Claim | None) -> Adoption:
        imported = self._draw(principal, wish)
        joined: list[table.Write] = [self._claims.write(claim, imported.id)] if claim else []
        processing = self._processings.draw(**_wish(imported)) if imported.source != UPLOAD else None
        if processing:
            joined += self._processings.writes(processing)
        self._store.create(imported, joined)
        if processing:
            self._processings.start(processing)
        return Adoption(imported, processing)

    def _draw(self, principal: Principal, wish: ImportRequest) -> Import:
        names.check(wish.name)
        checkpoint = self._checkpoint(principal.organization_id, wish.source)
        if wish.base_model is None and checkpoint is None:
            raise refusals.missing("baseModel", wish.source.type)
        base = catalog.find_base_model(wish.base_model or (checkpoint.job.base_model if checkpoint else ""))
        import_id = ids.new_id(ID_PREFIX)
        if checkpoint:
            found = Found(checkpoint.uri, checkpoint.bytes)
        else:
            found = self._found(principal.organization_id, import_id, wish.source, base)
        if self._models.is_taken(principal.organization_id, wish.name):
            raise names.taken(wish.name)
        return Import(
            id=import_id,
            organization_id=principal.organization_id,
            owner=principal.user_id,
            name=wish.name,
            base_model=base.id,
            source=wish.source.type,
            uri=found.uri,
            bytes=found.bytes,
            created_at=clock.iso(self._now()),
            files=wish.source.files,
            description=wish.description,
            tags=wish.tags,
            checkpoint=checkpoint.name if checkpoint else None,
        )

    def _checkpoint(self, organization_id: str, source: Source) -> Checkpoint | None:
        if source.type != CHECKPOINT:
            if source.checkpoint is not None:
                raise refusals.not_with("source.checkpoint", source.type)
            return None
        for name in ("uri", "files"):
            if getattr(source, name):
                raise refusals.not_with(f"source.{name}", CHECKPOINT)
        if source.checkpoint is None:
            raise refusals.missing("source.checkpoint", CHECKPOINT)
        return self._checkpoints.find(organization_id, source.checkpoint)

    def _found(self, organization_id: str, import_id: str, source: Source, base: BaseModel) -> Found:
        if source.type == S3:
            found, param = self._of_address(organization_id, source), "source.uri"
        else:
            found, param = self._of_files(organization_id, import_id, source), "source.files"
        limit = _BYTES_PER_PARAMETER * base.parameters + _BESIDE_BYTES
        if found.bytes > limit:
            raise refusals.too_large(found.bytes, limit, base.id, param)
        return found

    def _of_address(self, organization_id: str, source: Source) -> Found:
        if source.files:
            raise refusals.not_with("source.files", S3)
        if source.uri is None:
            raise refusals.missing("source.uri", S3)
        return self._sources.look(organization_id, source.uri)

    def _of_files(self, organization_id: str, import_id: str, source: Source) -> Found:
        if source.uri is not None:
            raise refusals.not_with("source.uri", UPLOAD)
        if not source.files:
            raise refusals.missing("source.files", UPLOAD)
        files.check_upload(source.files, "source.files")
        place = self._sources.place(organization_id, import_id)
        return Found(place, sum(file.size for file in source.files))


def _wish(imported: Import) -> dict[str, Any]:
    """What the processing is asked for."""
    return {
        "organization_id": imported.organization_id,
        "kind": ADOPT,
        "subject": imported.model_id,
        "base_model": imported.base_model,
        "spec": {"name": imported.name, "uri": imported.uri},
        "owner": imported.owner,
        "context": {
            "bytes": imported.bytes,
            "description": imported.description,
            "tags": imported.tags,
            "checkpoint": imported.checkpoint,
        },
    }
