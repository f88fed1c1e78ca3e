"""Asking the hub, before a job is created, whether a gated base model will be given to us."""

import logging
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

from luthier.catalog.entity import BaseModel
from luthier.catalog.staging import is_staged
from luthier.errors import InvalidRequest
from luthier.settings import Settings

logger = logging.getLogger(__name__)
# A create waits for this at most; a hub that does not answer in time is asked again by the staging job.
_TIMEOUT_SECONDS = 3


class HubGate:
    def __init__(self, s3: Any, secrets: Callable[[], Any], settings: Settings) -> None:
        self._s3 = s3
        self._secrets = secrets
        self._settings = settings

    def check(self, model: BaseModel) -> None:
        """Raise InvalidRequest when the hub refuses a gated model that we do not have yet."""
        if not model.gated or is_staged(self._s3, self._settings.base_models_bucket, model):
            return
        url = f"{self._settings.hub_url}/{model.hub_id}/resolve/{model.revision}/config.json"
        request = urllib.request.Request(url, method="HEAD", headers=self._authorization())
        try:
            urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS).close()
        except urllib.error.HTTPError as error:
            if error.code in (401, 403):
                raise self._refusal(model) from error
        except OSError:
            logger.warning("The hub did not answer about %s; the staging job will ask again.", model.hub_id)

    def _authorization(self) -> dict[str, str]:
        if not self._settings.hub_token_secret:
            return {}
        secret = self._secrets().get_secret_value(SecretId=self._settings.hub_token_secret)["SecretString"]
        return {"Authorization": f"Bearer {secret}"}

    def _refusal(self, model: BaseModel) -> InvalidRequest:
        named = self._settings.hub_token_secret
        return InvalidRequest(
            f"baseModel: {model.id} is gated, and the hub does not give it to this platform.",
            code="gated_model",
            param="baseModel",
            remedy=f"Accept the licence of {model.hub_id} on the hub with the token's account, then "
            + (f"check the token in the secret {named}." if named else "deploy with `-c hub_token_secret=NAME`."),
        )
