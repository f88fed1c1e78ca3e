"""Downloading models: what is there is linked at once; what is not is made by a job, and linked when asked again."""

import secrets
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from luthier import clock, objects
from luthier.accounts.entity import Principal
from luthier.downloads.entity import LIFE_SECONDS, TOKEN_PREFIX, Download, File, Granted, Preparing
from luthier.downloads.store import DownloadStore
from luthier.errors import Conflict, InvalidRequest, NotFound, Unprocessable
from luthier.models import formats
from luthier.models.entity import ARCHIVED, Model
from luthier.models.formats import ADAPTER, FILES, HUGGINGFACE, NONE
from luthier.models.service import ModelService
from luthier.processing.entity import COMPLETED, FAILED, PACKAGE, Processing
from luthier.processing.service import ProcessingService

_LOOK_AGAIN_SECONDS = 15
# Trying again changes nothing about these.
_FINAL = ("export_unsupported", "model_not_found")


class DownloadService:
    def __init__(
        self,
        store: DownloadStore,
        models: ModelService,
        processings: ProcessingService,
        s3: Any,
        now: clock.Clock = clock.now,
    ) -> None:
        self._store = store
        self._models = models
        self._processings = processings
        self._s3 = s3
        self._now = now

    def download(
        self,
        principal: Principal,
        name: str,
        *,
        files: Sequence[str] | None = None,
        format: str | None = None,
        compression: str = NONE,
    ) -> Granted | Preparing:
        """Links to a model's files in a format, as they are or as one archive; or that they are being made.

        files: names of the format's list, all of it by default; format: a key of FILES, by default what the model is.
        What has failed is said once as Unprocessable with the reason, and made again by the call after it, unless that
        cannot change. Raises NotFound, InvalidRequest, Conflict for an archived model.
        """
        model = self._models.get(principal, name)
        form = format or formats.own(model)
        wanted = _wanted(model, form, files)
        if model.status == ARCHIVED:
            raise _archived(model)
        lying = _lying(model, form, wanted) if compression == NONE else None
        if lying:
            return self._grant(model, form, compression, lying, None)
        made = self._made(principal, model, {"format": form, "compression": compression, "files": sorted(wanted)})
        if made.status != COMPLETED or made.result is None:
            return Preparing(made.id, form, compression, _LOOK_AGAIN_SECONDS)
        folder, archive = made.result["uri"], made.result["archive"]
        found = [File.below(folder, row) for row in made.result["files"]]
        return self._grant(model, form, compression, found, File.below(folder, archive) if archive else None)

    def redeem(self, token: str) -> Granted:
        """What a token leads to, with fresh links. Raises NotFound for an expired one as for one that never was."""
        found = self._store.find(token) if token.startswith(TOKEN_PREFIX) else None
        if found is None or found.expires_at <= clock.iso(self._now()):
            remedy = "Ask for the download again with POST /v2/training/models/{id}/download."
            raise NotFound("No such download, or it has expired.", code="download_not_found", remedy=remedy)
        return Granted(found, token, self._urls(found))

    def _made(self, principal: Principal, model: Model, spec: dict[str, Any]) -> Processing:
        wish = (principal.organization_id, PACKAGE, model.id)
        known = self._processings.peek(*wish, spec)
        if known and known.status == FAILED and self._processings.is_news(known, final=_FINAL):
            reason = known.status_reason or {}
            raise Unprocessable(
                f"{model.id} could not be packed as {spec['format']}: {reason.get('message')}",
                code="packaging_failed",
                details={"modelId": model.id, "format": spec["format"], "processingId": known.id, "reason": reason},
                remedy=reason.get("hint") or "Ask again, or for another format.",
            )
        return self._processings.ensure(*wish, model.base_model, spec, principal.user_id)

    def _grant(self, model: Model, form: str, compression: str, files: Sequence[File], archive: File | None) -> Granted:
        token = f"{TOKEN_PREFIX}{secrets.token_urlsafe(24)}"
        expires = clock.iso(self._now() + timedelta(seconds=LIFE_SECONDS))
        saved_as = f"{model.id}-{model.version}-{form}.{compression}"
        granted = Download(model.organization_id, model.id, form, compression, files, archive, saved_as, expires)
        self._store.put(token, granted)
        return Granted(granted, token, self._urls(granted))

    def _urls(self, download: Download) -> dict[str, str]:
        if download.archive:
            return {download.archive.name: self._url(download, download.archive, download.saved_as)}
        return {file.name: self._url(download, file, file.name) for file in download.files}

    def _url(self, download: Download, file: File, saved_as: str) -> str:
        """Presigned for as long as the token lives, rounded up to seconds: S3 takes none that ends at once."""
        left = (clock.parse(download.expires_at) - self._now()).total_seconds()
        bucket, key = objects.parts(file.uri)
        shown = f'attachment; filename="{saved_as}"'
        place = {"Bucket": bucket, "Key": key, "ResponseContentDisposition": shown}
        return self._s3.generate_presigned_url("get_object", Params=place, ExpiresIn=max(1, int(left)))


def _wanted(model: Model, form: str, files: Sequence[str] | None) -> list[str]:
    if form == ADAPTER and not model.has_adapter:
        raise InvalidRequest(
            f"format is {ADAPTER}, but {model.id} has weights of its own and no adapter.",
            param="format",
            remedy=f"Ask for {HUGGINGFACE}.",
        )
    known = FILES[form]
    for position, name in enumerate(files or ()):
        if name not in known:
            raise InvalidRequest(
                f"files[{position}] is {name!r:.100}; the files of format {form} are {', '.join(known)}.",
                param=f"files[{position}]",
                details={"format": form, "available": list(known)},
                remedy="Name some of those, or leave files out for all of them.",
            )
    return [name for name in known if name in files] if files else list(known)


def _lying(model: Model, form: str, wanted: Sequence[str]) -> list[File] | None:
    """The files where they lie already: in the model's own folder, or among what was made of the format before."""
    folders = [(model.artifact_uri, model.files)] if form == ADAPTER else []
    if made := model.formats.get(form):
        folders.append((made["uri"], made["files"]))
    for uri, rows in folders:
        found = {file.name: file for file in (File.below(uri, row) for row in rows)}
        if all(name in found for name in wanted):
            # A weight file may have a companion, without which it is nothing.
            return [file for name, file in found.items() if name.removesuffix(".data") in wanted]
    return None


def _archived(model: Model) -> Conflict:
    return Conflict(
        f"{model.id} is archived; an archived model is not downloaded.",
        details={"current": ARCHIVED, "required": ["ready", "deployed"]},
        remedy="Restore it first.",
    )
