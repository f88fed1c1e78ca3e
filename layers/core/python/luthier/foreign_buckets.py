"""Buckets of others that the operator has opened: which organization may read which, and what S3 needs to allow it."""

import json

from luthier.settings import Settings, readers_of_buckets


class ForeignBuckets:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def may_read(self, bucket: str, organization_id: str) -> bool:
        """Whether the operator has listed the bucket for the organization.

        Our own buckets hold every organization's data; listing one by mistake must not open it.
        """
        known = self._settings
        ours = {known.data_bucket, known.base_models_bucket, known.artifacts_bucket}
        readers = readers_of_buckets(known.dataset_buckets).get(bucket, set())
        return bool(readers & {organization_id, "*"}) and bucket not in ours

    def statement(self, bucket: str) -> str:
        """The statement that the owner of a bucket adds to its policy, with this account as the reader; JSON."""
        machine = self._settings.training_state_machine_arn or self._settings.processing_state_machine_arn
        _, partition, _, _, account, *_ = machine.split(":")
        statement = {
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:{partition}:iam::{account}:root"},
            "Action": ["s3:GetObject", "s3:ListBucket"],
            "Resource": [f"arn:{partition}:s3:::{bucket}", f"arn:{partition}:s3:::{bucket}/*"],
        }
        return json.dumps(statement)
