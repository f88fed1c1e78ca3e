"""The dashboard in AWS: one origin with the API, a private bucket, the same policy as on one machine."""

from infra.components.dashboard import API_PATHS
from infra.dashboard import CONTENT_SECURITY_POLICY, HEADERS
from tests.infra.template import Resource, Template


def distribution(template: Template) -> Resource:
    return template.one("AWS::CloudFront::Distribution")["DistributionConfig"]


def test_the_page_is_the_root_and_the_api_lies_beside_it_uncached_and_unchanged(template: Template) -> None:
    made = distribution(template)
    assert made["DefaultRootObject"] == "index.html"
    origins = {origin["Id"]: origin for origin in made["Origins"]}
    assert "S3OriginConfig" in origins[made["DefaultCacheBehavior"]["TargetOriginId"]]
    assert tuple(behavior["PathPattern"] for behavior in made["CacheBehaviors"]) == API_PATHS
    for behavior in made["CacheBehaviors"]:
        origin = origins[behavior["TargetOriginId"]]
        assert origin["CustomOriginConfig"]["OriginProtocolPolicy"] == "https-only"
        assert "ApiRestDeploymentStageprod" in str(origin["OriginPath"])
        # The managed policies CachingDisabled and AllViewerExceptHostHeader.
        assert behavior["CachePolicyId"] == "4135ea2d-6df8-44a3-9df3-4b5a84be39ad"
        assert behavior["OriginRequestPolicyId"] == "b689b0a8-53d0-40ab-baf2-68738e2966ac"
        assert {"GET", "POST", "PUT", "PATCH", "DELETE"} <= set(behavior["AllowedMethods"])
        assert behavior["ViewerProtocolPolicy"] == "https-only"
        assert "ResponseHeadersPolicyId" not in behavior


def test_every_path_of_the_api_that_the_page_asks_for_reaches_it(template: Template) -> None:
    starts = tuple(path.rstrip("*") for path in API_PATHS)
    asked = ("/api/v1/fine-tuning/jobs", "/v1/files", "/v1/organization/usage", "/v2/training/models", "/openapi.json")
    assert [path for path in asked if not path.startswith(starts)] == []


def test_the_page_comes_with_the_headers_that_the_local_cloud_sends(template: Template) -> None:
    made = template.one("AWS::CloudFront::ResponseHeadersPolicy")["ResponseHeadersPolicyConfig"]
    secured = made["SecurityHeadersConfig"]
    assert secured["ContentSecurityPolicy"]["ContentSecurityPolicy"] == CONTENT_SECURITY_POLICY
    assert secured["ContentTypeOptions"]["Override"] is True
    assert secured["ReferrerPolicy"]["ReferrerPolicy"] == HEADERS["Referrer-Policy"]
    [own] = made["CustomHeadersConfig"]["Items"]
    assert HEADERS[own["Header"]] == own["Value"]
    told = {"Content-Security-Policy", "X-Content-Type-Options", "Referrer-Policy", own["Header"]}
    assert told == set(HEADERS)


def test_only_this_distribution_reads_the_files(template: Template) -> None:
    bucket = template.named("AWS::S3::Bucket", "DashboardFiles")
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    policy = template.named("AWS::S3::BucketPolicy", "DashboardFilesPolicy")["PolicyDocument"]["Statement"]
    [reading] = [statement for statement in policy if statement["Effect"] == "Allow"]
    assert (reading["Action"], reading["Principal"]) == ("s3:GetObject", {"Service": "cloudfront.amazonaws.com"})
    assert "DashboardDistribution" in str(reading["Condition"])


def test_the_local_cloud_has_none_of_it(template: Template) -> None:
    ours = {name: row for name, row in template.resources.items() if name.startswith("Dashboard")}
    assert len(ours) >= 4
    assert {row.get("Condition") for row in ours.values()} == {"InAws"}
    outputs = template.document["Outputs"]
    assert {outputs[name]["Condition"] for name in ("DashboardUrl", "DashboardBucketName")} == {"InAws"}
