"""Rows that lie elsewhere: an object of another S3 bucket, or a file behind a URL.

They are copied before they are read. What is checked and trained on is the copy, so the origin may change afterwards.
"""

import http.client
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from tempfile import TemporaryFile
from typing import IO, Any
from urllib.parse import unquote, urljoin, urlsplit

from luthier.datasets import refusals
from luthier.datasets.content import DatasetContent
from luthier.datasets.entity import Dataset, name_in
from luthier.errors import InvalidRequest
from luthier.foreign_buckets import ForeignBuckets
from luthier.settings import Settings
from luthier.webhooks.address import Destinations, Target

# A create waits for the copy, and API Gateway gives up after 29 s.
_COPY_SECONDS = 15
_CONNECT_SECONDS = 5
_REDIRECTS = 3
_CHUNK = 1024 * 1024
_LONGEST_KEY = 1_024  # bytes, by S3's own rule
FALLBACK_NAME = "dataset.jsonl"


class ForeignSources:
    """tls: makes the context that certificates are checked with; seconds: how long a download may take."""

    def __init__(
        self,
        s3: Any,
        settings: Settings,
        destinations: Destinations,
        tls: Callable[[], ssl.SSLContext] = ssl.create_default_context,
        seconds: float = _COPY_SECONDS,
    ) -> None:
        self._seconds = seconds
        self._s3 = s3
        self._buckets = ForeignBuckets(settings)
        self._destinations = destinations
        self._tls = tls

    @staticmethod
    def is_foreign(reference: str) -> bool:
        return reference.startswith(("s3://", "https://", "http://"))

    @staticmethod
    def filename(reference: str) -> str:
        """What the copy is called; an address that cannot be read is refused where it is opened."""
        with suppress(ValueError):
            return name_in(unquote(urlsplit(reference).path)) or FALLBACK_NAME
        return FALLBACK_NAME

    def copy(self, reference: str, dataset: Dataset, content: DatasetContent, *, limit: int, param: str) -> None:
        """Copy what the reference names into the dataset's place. Raises InvalidRequest and PayloadTooLarge."""
        if reference.startswith("s3://"):
            bucket, _, key = reference.removeprefix("s3://").partition("/")
            self._copy_object(bucket, key, dataset, content, limit, param)
            return
        with TemporaryFile() as file:
            self._download(reference, file, limit, param)
            file.seek(0)
            content.write(dataset, file)

    def _copy_object(
        self, bucket: str, key: str, dataset: Dataset, content: DatasetContent, limit: int, param: str
    ) -> None:
        if not self._buckets.may_read(bucket, dataset.organization_id):
            raise refusals.bucket_not_listed(bucket, param)
        if not 0 < len(key.encode()) <= _LONGEST_KEY:
            raise refusals.no_object_named(bucket, key, param)
        try:
            size = self._s3.head_object(Bucket=bucket, Key=key)["ContentLength"]
            if size > limit:
                raise refusals.too_large(size, limit, param)
            content.take_copy(dataset, bucket, key)
        except self._s3.exceptions.ClientError as error:
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            if status == 404:
                raise refusals.no_such_object(bucket, key, param) from error
            if status == 403:
                raise refusals.access_denied(bucket, key, self._buckets.statement(bucket), param) from error
            if 400 <= status < 500:
                raise refusals.not_downloaded(f"s3://{bucket}/{key}", f"S3 answers {status}", param) from error
            raise

    def _download(self, url: str, file: IO[bytes], limit: int, param: str) -> None:
        ends, size = time.monotonic() + self._seconds, 0
        try:
            for chunk in self._chunks(url, ends, param):
                size += len(chunk)
                if size > limit:
                    raise refusals.too_large(size, limit, param)
                file.write(chunk)
        except (OSError, ValueError, http.client.HTTPException) as error:
            if time.monotonic() >= ends:
                raise refusals.too_slow(self._seconds, param) from error
            raise refusals.not_downloaded(_without_query(url), f"{type(error).__name__}: {error}", param) from error

    def _chunks(self, url: str, ends: float, param: str) -> Iterator[bytes]:
        for _ in range(_REDIRECTS + 1):
            with self._connection(url, param).answer(ends) as answer:
                if answer.status == 200:
                    while chunk := answer.read1(_CHUNK):
                        yield chunk
                    if answer.length:
                        raise http.client.IncompleteRead(b"", answer.length)
                    return
                location = answer.getheader("Location")
                if answer.status not in (301, 302, 303, 307, 308) or not location:
                    raise refusals.not_downloaded(_without_query(url), f"it answers {answer.status}", param)
            url = urljoin(url, location)
        raise refusals.not_downloaded(_without_query(url), f"more than {_REDIRECTS} redirects", param)

    def _connection(self, url: str, param: str) -> "_Checked":
        """Every redirect comes here too, so each address of the way is checked before anything connects to it."""
        target = self._destinations.target(url, param=param)
        try:
            addresses = self._destinations.addresses(target)
        except InvalidRequest as refused:
            refused.param = param
            raise
        return _Checked(target, addresses, self._tls() if target.scheme == "https" else None)


class _Checked(http.client.HTTPConnection):
    """A connection to one of the addresses that were checked, whatever their name resolves to by now."""

    def __init__(self, target: Target, addresses: list[str], tls: ssl.SSLContext | None) -> None:
        super().__init__(target.host, target.port, timeout=_CONNECT_SECONDS)
        self._addresses = addresses
        self._tls = tls
        self._path = target.path

    @contextmanager
    def answer(self, ends: float) -> Iterator[http.client.HTTPResponse]:
        """The answer to a GET; at the moment `ends` the connection is cut, whatever it is at."""
        # A server that sends drop by drop never times out by itself.
        timer = threading.Timer(max(0.0, ends - time.monotonic()), self._cut)
        timer.start()
        try:
            self.request("GET", self._path, headers={"Accept-Encoding": "identity", "User-Agent": "Luthier/1"})
            with self.getresponse() as answer:
                yield answer
        finally:
            timer.cancel()
            self.close()

    def connect(self) -> None:
        plain = self._reach()
        try:
            self.sock = self._tls.wrap_socket(plain, server_hostname=self.host) if self._tls else plain
        except BaseException:
            plain.close()
            raise
        # The connection forgets its socket once an answer owns it.
        self._socket = self.sock

    def _reach(self) -> socket.socket:
        """A connection to the first address that answers: a host may have addresses of a kind that we cannot reach."""
        failure: OSError | None = None
        for address in self._addresses:
            try:
                return socket.create_connection((address, self.port), self.timeout)
            except OSError as error:
                failure = error
        raise failure or OSError("The name has no address.")

    def _cut(self) -> None:
        with suppress(OSError, AttributeError):
            self._socket.shutdown(socket.SHUT_RDWR)


def _without_query(url: str) -> str:
    """A presigned URL's query is a secret."""
    return url.partition("?")[0]
