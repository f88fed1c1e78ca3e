"""The table and the buckets keep customers' data safe."""

from datetime import timedelta

import pytest

from luthier import table
from luthier.batches.entity import KEPT, OBJECTS_KEPT_DAYS, PREFIX, WINDOW
from luthier.imports.entity import UPLOADS
from luthier.uploads.entity import PARTS
from tests.infra.template import Resource, Template

DATA_BUCKETS = ("StorageData", "StorageBaseModels", "StorageArtifacts")


def test_the_table_costs_nothing_idle_recovers_to_any_second_and_cannot_be_dropped(template: Template) -> None:
    made = template.one("AWS::DynamoDB::Table")
    assert made["BillingMode"] == "PAY_PER_REQUEST"
    assert made["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert made["DeletionProtectionEnabled"] is True
    assert made["TimeToLiveSpecification"] == {"AttributeName": "ttl", "Enabled": True}
    assert made["StreamSpecification"] == {"StreamViewType": "NEW_IMAGE"}
    assert made["SSESpecification"]["SSEType"] == "KMS"


def test_the_tables_keys_and_indexes_are_those_that_the_code_queries(template: Template) -> None:
    made = template.one("AWS::DynamoDB::Table")
    assert [key["AttributeName"] for key in made["KeySchema"]] == ["pk", "sk"]
    assert [_index(index) for index in made["GlobalSecondaryIndexes"]] == [
        (index.name, [index.partition_key, index.sort_key], set(index.projected)) for index in table.INDEXES
    ]


def test_the_key_rotates(template: Template) -> None:
    assert template.named("AWS::KMS::Key", "StorageKey")["EnableKeyRotation"] is True


def test_what_signs_manifests_can_do_nothing_else(template: Template) -> None:
    key = template.named("AWS::KMS::Key", "StorageManifestKey")
    assert (key["KeySpec"], key["KeyUsage"]) == ("HMAC_256", "GENERATE_VERIFY_MAC")


@pytest.mark.parametrize("bucket", [*DATA_BUCKETS, "StorageAccessLogs"])
def test_a_bucket_is_private_encrypted_and_speaks_tls_only(bucket: str, template: Template) -> None:
    made = template.named("AWS::S3::Bucket", bucket)
    assert set(made["PublicAccessBlockConfiguration"].values()) == {True}
    assert made["BucketEncryption"]
    policy = template.named("AWS::S3::BucketPolicy", f"{bucket}Policy")
    denials = [statement for statement in policy["PolicyDocument"]["Statement"] if statement["Effect"] == "Deny"]
    assert [denial["Condition"] for denial in denials] == [{"Bool": {"aws:SecureTransport": "false"}}]


@pytest.mark.parametrize("bucket", DATA_BUCKETS)
def test_customers_objects_lie_under_the_customer_key_and_every_access_is_logged(
    bucket: str, template: Template
) -> None:
    made = template.named("AWS::S3::Bucket", bucket)
    [rule] = made["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "aws:kms"
    assert "StorageKey" in str(rule["ServerSideEncryptionByDefault"]["KMSMasterKeyID"])
    assert "StorageAccessLogs" in str(made["LoggingConfiguration"]["DestinationBucketName"])


def test_models_survive_an_overwrite(template: Template) -> None:
    for bucket in ("StorageBaseModels", "StorageArtifacts"):
        assert template.named("AWS::S3::Bucket", bucket)["VersioningConfiguration"] == {"Status": "Enabled"}


def test_abandoned_uploads_do_not_pile_up(template: Template) -> None:
    for bucket in DATA_BUCKETS:
        rule, *_ = template.named("AWS::S3::Bucket", bucket)["LifecycleConfiguration"]["Rules"]
        assert rule["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 7}


def test_files_of_imports_uploads_and_batches_go_after_their_time_and_nothing_else_does(template: Template) -> None:
    rules = template.named("AWS::S3::Bucket", "StorageData")["LifecycleConfiguration"]["Rules"]
    expiring = {rule["Prefix"]: rule["ExpirationInDays"] for rule in rules if "ExpirationInDays" in rule}
    assert expiring == {UPLOADS: 7, PARTS: 1, PREFIX: OBJECTS_KEPT_DAYS}
    # While its batch can still be read, none of its objects goes.
    assert timedelta(days=OBJECTS_KEPT_DAYS) > KEPT + WINDOW


def test_a_browser_may_use_a_presigned_upload(template: Template) -> None:
    [rule] = template.named("AWS::S3::Bucket", "StorageData")["CorsConfiguration"]["CorsRules"]
    assert "PUT" in rule["AllowedMethods"]


def test_nothing_that_holds_customers_data_goes_with_the_stack(template: Template) -> None:
    for kind in ("AWS::DynamoDB::Table", "AWS::S3::Bucket", "AWS::KMS::Key"):
        for name, resource in template.resources.items():
            if resource["Type"] == kind:
                assert resource["DeletionPolicy"] == resource["UpdateReplacePolicy"] == "Retain", name


def _index(made: Resource) -> tuple[str, list[str], set[str]]:
    keys = [key["AttributeName"] for key in made["KeySchema"]]
    return made["IndexName"], keys, set(made["Projection"].get("NonKeyAttributes", ()))
