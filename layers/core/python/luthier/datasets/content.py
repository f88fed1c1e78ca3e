"""The S3 objects of a dataset: its content, and the findings that do not fit into the table."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Any

from luthier.datasets.entity import Dataset

CONTENT_TYPE = "application/jsonl"
URL_SECONDS = 3600
_CHUNK = 1024 * 1024
# Of an upload to S3 in parts: S3 takes 5 MiB or more of each but the last, and 10,000 of them.
_PART = 8 * 1024 * 1024


class DatasetContent:
    def __init__(self, s3: Any, bucket: str) -> None:
        self._s3 = s3
        self._bucket = bucket

    def write(self, dataset: Dataset, content: bytes | IO[bytes]) -> None:
        self._s3.put_object(Bucket=self._bucket, Key=dataset.s3_key, Body=content, ContentType=CONTENT_TYPE)

    @contextmanager
    def writing(self, dataset: Dataset) -> Iterator[Callable[[bytes], None]]:
        """What takes the content piece by piece, holding one part at most. Where the block fails there is no content.

        At least one byte has to come.
        """
        place = {"Bucket": self._bucket, "Key": dataset.s3_key}
        begun = self._s3.create_multipart_upload(**place, ContentType=CONTENT_TYPE)
        place["UploadId"] = begun["UploadId"]
        parts: list[dict[str, Any]] = []
        held = bytearray()

        def send() -> None:
            number = len(parts) + 1
            sent = self._s3.upload_part(**place, PartNumber=number, Body=bytes(held))
            parts.append({"PartNumber": number, "ETag": sent["ETag"]})
            held.clear()

        def write(piece: bytes) -> None:
            held.extend(piece)
            if len(held) >= _PART:
                send()

        try:
            yield write
            if held:
                send()
            self._s3.complete_multipart_upload(**place, MultipartUpload={"Parts": parts})
        except BaseException:
            self._s3.abort_multipart_upload(**place)
            raise

    def arrived(self, dataset: Dataset) -> bool:
        """Whether there is content."""
        try:
            self._s3.head_object(Bucket=self._bucket, Key=dataset.s3_key)
        except self._s3.exceptions.ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
                return False
            raise
        return True

    def address(self, dataset: Dataset) -> tuple[str, dict[str, str]]:
        """A URL that takes the content by PUT, once and in the announced size, and the headers to send with it."""
        # If-None-Match, because nobody may exchange the content after it was checked.
        place = {"Bucket": self._bucket, "Key": dataset.s3_key}
        signed = {"ContentType": CONTENT_TYPE, "ContentLength": dataset.bytes, "IfNoneMatch": "*"}
        url = self._s3.generate_presigned_url("put_object", Params=place | signed, ExpiresIn=URL_SECONDS)
        headers = {"Content-Type": CONTENT_TYPE, "Content-Length": str(dataset.bytes), "If-None-Match": "*"}
        return url, headers

    def chunks(self, dataset: Dataset) -> Iterator[bytes] | None:
        """The content in pieces; None when there is none."""
        try:
            answer = self._s3.get_object(Bucket=self._bucket, Key=dataset.s3_key)
        except self._s3.exceptions.NoSuchKey:
            return None
        return answer["Body"].iter_chunks(_CHUNK)

    def download_url(self, dataset: Dataset) -> str:
        """A URL that gives the content."""
        params = {"Bucket": self._bucket, "Key": dataset.s3_key}
        return self._s3.generate_presigned_url("get_object", Params=params, ExpiresIn=URL_SECONDS)

    def take_copy(self, dataset: Dataset, bucket: str, key: str) -> None:
        """Fill the dataset's place with an object of another bucket, inside S3. Tags and metadata stay behind."""
        self._s3.copy_object(
            CopySource={"Bucket": bucket, "Key": key},
            Bucket=self._bucket,
            Key=dataset.s3_key,
            ContentType=CONTENT_TYPE,
            MetadataDirective="REPLACE",
            TaggingDirective="REPLACE",
        )

    def copy(self, dataset: Dataset, bucket: str, key: str) -> None:
        """Copy the content inside S3."""
        source = {"Bucket": self._bucket, "Key": dataset.s3_key}
        self._s3.copy_object(CopySource=source, Bucket=bucket, Key=key)

    def write_findings(self, dataset: Dataset, findings: list[dict[str, Any]]) -> None:
        body = json.dumps(findings).encode()
        self._s3.put_object(Bucket=self._bucket, Key=dataset.report_key, Body=body, ContentType="application/json")

    def read_findings(self, dataset: Dataset) -> list[dict[str, Any]]:
        return json.loads(self._s3.get_object(Bucket=self._bucket, Key=dataset.report_key)["Body"].read())

    def remove(self, dataset: Dataset) -> None:
        """Remove all objects of a dataset; those that are gone already do not matter."""
        for key in (dataset.s3_key, dataset.report_key):
            self._s3.delete_object(Bucket=self._bucket, Key=key)
