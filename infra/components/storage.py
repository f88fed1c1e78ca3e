"""What outlives every request: the key, the table and the buckets."""

from aws_cdk import Aws, Duration, RemovalPolicy
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from luthier import table as keys
from luthier.batches.entity import OBJECTS_KEPT_DAYS, PREFIX
from luthier.imports.entity import UPLOADS
from luthier.settings import readers_of_buckets
from luthier.uploads.entity import PARTS

# What reading and writing encrypted data takes.
USE_KEY = ("kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey")


class Storage(Construct):
    """All of it is encrypted with one customer-managed key and kept when the stack is deleted."""

    def __init__(self, scope: Construct, construct_id: str) -> None:
        super().__init__(scope, construct_id)
        self.key = kms.Key(
            self,
            "Key",
            description="Customer data of Luthier: the table and the buckets",
            enable_key_rotation=True,
            removal_policy=RemovalPolicy.RETAIN,
        )
        self.manifest_key = kms.Key(
            self,
            "ManifestKey",
            description="Signs what determines the runs of Luthier",
            key_spec=kms.KeySpec.HMAC_256,
            key_usage=kms.KeyUsage.GENERATE_VERIFY_MAC,
            removal_policy=RemovalPolicy.RETAIN,
        )
        self.table = self._table()
        self.access_logs = self._access_logs()
        self.data = self._bucket("Data", versioned=False, cors=[_browser_uploads()])
        # An import's files are copied into its model within hours, if they are ever all there.
        self.data.add_lifecycle_rule(prefix=UPLOADS, expiration=Duration.days(7))
        # An upload takes parts for an hour and is joined within another: what is left by then is nobody's.
        self.data.add_lifecycle_rule(prefix=PARTS, expiration=Duration.days(1))
        self.data.add_lifecycle_rule(prefix=PREFIX, expiration=Duration.days(OBJECTS_KEPT_DAYS))
        self.base_models = self._bucket("BaseModels", versioned=True)
        self.artifacts = self._bucket("Artifacts", versioned=True)
        _send_events(self.artifacts)

    def _table(self) -> dynamodb.Table:
        # Table, not TableV2: a global table refuses a customer key in a stack that is not bound to a region.
        table = dynamodb.Table(
            self,
            "Table",
            partition_key=_string("pk"),
            sort_key=_string("sk"),
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True
            ),
            stream=dynamodb.StreamViewType.NEW_IMAGE,
            time_to_live_attribute="ttl",
            encryption=dynamodb.TableEncryption.CUSTOMER_MANAGED,
            encryption_key=self.key,
            deletion_protection=True,
            removal_policy=RemovalPolicy.RETAIN,
        )
        for index in keys.INDEXES:
            table.add_global_secondary_index(
                index_name=index.name,
                partition_key=_string(index.partition_key),
                sort_key=_string(index.sort_key),
                **_projection(index),
            )
        return table

    def _access_logs(self) -> s3.Bucket:
        return s3.Bucket(
            self,
            "AccessLogs",
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            # S3 delivers access logs only into buckets that it holds the key of.
            encryption=s3.BucketEncryption.S3_MANAGED,
            enforce_ssl=True,
            lifecycle_rules=[s3.LifecycleRule(expiration=Duration.days(90))],
            removal_policy=RemovalPolicy.RETAIN,
        )

    def _bucket(self, name: str, *, versioned: bool, cors: list[s3.CorsRule] | None = None) -> s3.Bucket:
        return s3.Bucket(
            self,
            name,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            encryption=s3.BucketEncryption.KMS,
            encryption_key=self.key,
            bucket_key_enabled=True,
            enforce_ssl=True,
            versioned=versioned,
            cors=cors,
            lifecycle_rules=[_lifecycle(versioned)],
            server_access_logs_bucket=self.access_logs,
            server_access_logs_prefix=f"{name}/",
            removal_policy=RemovalPolicy.RETAIN,
        )


def table_arns(table: dynamodb.Table) -> list[str]:
    """The table and each of its indexes by name, so that no policy needs a wildcard."""
    return [table.table_arn, *(f"{table.table_arn}/index/{index.name}" for index in keys.INDEXES)]


def foreign_buckets(listed: str) -> list[str]:
    """ARNs of the buckets that the setting `dataset_buckets` lists."""
    return [f"arn:{Aws.PARTITION}:s3:::{name}" for name in readers_of_buckets(listed)]


def _string(name: str) -> dynamodb.Attribute:
    return dynamodb.Attribute(name=name, type=dynamodb.AttributeType.STRING)


def _projection(index: keys.Index) -> dict:
    if not index.projected:
        return {"projection_type": dynamodb.ProjectionType.KEYS_ONLY}
    return {"projection_type": dynamodb.ProjectionType.INCLUDE, "non_key_attributes": list(index.projected)}


def _browser_uploads() -> s3.CorsRule:
    """A presigned URL carries its own permission, so any page that holds one may use it."""
    return s3.CorsRule(
        allowed_methods=[s3.HttpMethods.PUT, s3.HttpMethods.GET],
        allowed_origins=["*"],
        allowed_headers=["*"],
        exposed_headers=["ETag"],
        max_age=3600,
    )


def _lifecycle(versioned: bool) -> s3.LifecycleRule:
    """What nobody can see any more goes: abandoned uploads after a week, replaced versions after a month."""
    return s3.LifecycleRule(
        abort_incomplete_multipart_upload_after=Duration.days(7),
        noncurrent_version_expiration=Duration.days(30) if versioned else None,
    )


def _send_events(bucket: s3.Bucket) -> None:
    # The construct's own switch brings a custom resource with a function; the plain property does the same.
    resource = bucket.node.default_child
    assert isinstance(resource, s3.CfnBucket)
    resource.notification_configuration = s3.CfnBucket.NotificationConfigurationProperty(
        event_bridge_configuration=s3.CfnBucket.EventBridgeConfigurationProperty(event_bridge_enabled=True)
    )
