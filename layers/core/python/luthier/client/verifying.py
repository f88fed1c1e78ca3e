"""The part of `client.webhooks` that needs no server: telling Luthier's events from anybody else's."""

from collections.abc import Mapping

from luthier.client import webhooks
from luthier.client.answers import Open, opened
from luthier.client.core import Mode
from luthier.client.resources import Resource


class Verifying(Resource[Mode]):
    @staticmethod
    def verify(
        body: bytes | str,
        headers: Mapping[str, str],
        secret: str,
        *,
        tolerance: int = webhooks.TOLERANCE_SECONDS,
    ) -> Open:
        """The event in a request, once its signature and its age have been checked; it is not awaited.

        body: as it arrived; tolerance: seconds. Raises luthier.client.webhooks.SignatureInvalid, and ValueError for a
        secret that is none.
        """
        event: Open = opened(webhooks.verify(body, headers, secret, tolerance=tolerance))
        return event
