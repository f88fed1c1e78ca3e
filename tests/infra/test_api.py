"""The REST API routes whole paths to surfaces and answers its own refusals in JSON."""

import importlib
import json
import re

import pytest

from infra import catalog
from infra.components.api import REFUSALS
from luthier.error_codes import ERRORS
from tests.gateway import answering
from tests.infra.template import Resource, Template, text


def test_every_route_of_the_catalogue_goes_to_its_function(template: Template) -> None:
    methods = template.of_type("AWS::ApiGateway::Method").values()
    made = {(method["HttpMethod"], _path(template, method)): _target(method) for method in methods}
    assert made == {(method, path): f"Functions{row.pascal_name}" for method, path, row in catalog.routes()}


@pytest.mark.parametrize("row", catalog.API, ids=lambda row: row.name)
def test_every_path_of_a_surface_reaches_its_own_function(row: catalog.Function) -> None:
    surface = importlib.import_module(row.handler.rsplit(".", 1)[0]).app
    for route in surface._static_routes + surface._dynamic_routes:
        path = re.sub(r"<\w+>", "x", route.path)
        assert answering(route.method, path) == row, path


def test_answers_that_stream_are_passed_on_in_parts_for_up_to_15_minutes(template: Template) -> None:
    streaming = {path for _, path, row in catalog.routes() if row.streams}
    assert {"/v1/chat/completions", "/v1/completions", "/v1/playground/inference"} <= streaming
    for method in template.of_type("AWS::ApiGateway::Method").values():
        integration, path = method["Integration"], _path(template, method)
        streams = _target(method) in {f"Functions{row.pascal_name}" for row in catalog.API if row.streams}
        assert integration.get("ResponseTransferMode") == ("STREAM" if streams else None), path
        assert integration.get("TimeoutInMillis") == (900_000 if streams else None), path
        assert ("response-streaming-invocations" in text(integration["Uri"])) == streams


def test_an_unknown_path_reaches_a_function(template: Template) -> None:
    assert {"/", "/{proxy+}"} <= {path for _, path, _ in catalog.routes()}


def test_the_api_is_regional_and_lets_file_uploads_through_unharmed(template: Template) -> None:
    api = template.one("AWS::ApiGateway::RestApi")
    assert api["EndpointConfiguration"]["Types"] == ["REGIONAL"]
    assert "multipart/form-data" in api["BinaryMediaTypes"]


def test_one_permission_per_function_keeps_the_resource_policies_short(template: Template) -> None:
    permissions = template.of_type("AWS::Lambda::Permission").values()
    from_gateway = [row for row in permissions if row["Principal"] == "apigateway.amazonaws.com"]
    assert len(from_gateway) == len(catalog.API)


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        ("MISSING_AUTHENTICATION_TOKEN", "404", "not_found"),
        ("REQUEST_TOO_LARGE", "413", "payload_too_large"),
        ("THROTTLED", "429", "rate_limited"),
        ("WAF_FILTERED", "429", "rate_limited"),
        ("INTEGRATION_FAILURE", "503", "unavailable"),
        ("INTEGRATION_TIMEOUT", "504", "timeout"),
        ("DEFAULT_4XX", None, "request_rejected"),
        ("DEFAULT_5XX", None, "internal_error"),
    ],
)
def test_what_the_gateway_rejects_itself_has_the_one_documented_body(
    kind: str, status: str | None, code: str, template: Template
) -> None:
    responses = template.of_type("AWS::ApiGateway::GatewayResponse").values()
    [response] = [row for row in responses if row["ResponseType"] == kind]
    assert response.get("StatusCode") == status
    body = response["ResponseTemplates"]["application/json"]
    # The gateway puts a quoted string in place of the variable.
    error = json.loads(body.replace("$context.error.messageString", '"Too much."'))["error"]
    message = error.pop("message")
    assert error == {"code": code, "type": None, "param": None, "details": None}
    # Only for a body that is too large is there more to say than the gateway says itself.
    assert "/v1/files/presigned" in message if status == "413" else message == "Too much."
    assert response["ResponseParameters"]["gatewayresponse.header.x-request-id"] == "context.requestId"


def test_whoever_is_turned_away_for_a_moment_is_told_when_to_come_back(template: Template) -> None:
    for response in template.of_type("AWS::ApiGateway::GatewayResponse").values():
        if response.get("StatusCode") in ("429", "503"):
            seconds = 60 if response["ResponseType"] == "WAF_FILTERED" else 1
            assert response["ResponseParameters"]["gatewayresponse.header.Retry-After"] == f"'{seconds}'"


def test_a_web_acl_slows_down_whoever_sends_no_key_and_every_single_address(template: Template) -> None:
    acl, association = template.one("AWS::WAFv2::WebACL"), template.one("AWS::WAFv2::WebACLAssociation")
    rules = {rule["Name"]: rule for rule in acl["Rules"]}
    limits = {name: rule["Statement"]["RateBasedStatement"]["Limit"] for name, rule in rules.items()}
    assert limits == {"Keyless": 300, "PerAddress": 6_000}
    [(stage, settings)] = template.of_type("AWS::ApiGateway::Stage").items()
    assert limits["PerAddress"] <= settings["MethodSettings"][0]["ThrottlingRateLimit"] * 60 / 2
    assert text(association["ResourceArn"]).rpartition("/stages/")[2] == f"<{stage}>"
    keyless = json.dumps(rules["Keyless"])
    assert all(header in keyless for header in ("authorization", "x-api-key"))


def test_only_the_emulators_account_goes_without_the_web_acl(template: Template) -> None:
    conditions = {
        resource["Condition"] for resource in template.resources.values() if resource["Type"].startswith("AWS::WAFv2::")
    }
    [name] = conditions
    is_local = {"Fn::Equals": [{"Ref": "AWS::AccountId"}, "000000000000"]}
    assert template.document["Conditions"][name] == {"Fn::Not": [is_local]}


def test_no_sample_of_a_request_shows_its_key(template: Template) -> None:
    acl = template.one("AWS::WAFv2::WebACL")
    for visible in (acl["VisibilityConfig"], *(rule["VisibilityConfig"] for rule in acl["Rules"])):
        assert visible["SampledRequestsEnabled"] is False


def test_the_stage_is_throttled_traced_and_logs_every_access_without_its_headers(template: Template) -> None:
    stage = template.one("AWS::ApiGateway::Stage")
    [settings] = stage["MethodSettings"]
    assert settings["ThrottlingRateLimit"] > 0
    assert settings["DataTraceEnabled"] is False
    assert stage["TracingEnabled"] is True
    assert not any("header" in field.lower() for field in json.loads(stage["AccessLogSetting"]["Format"]).values())


def test_the_outputs_name_what_a_client_and_an_operator_need(template: Template) -> None:
    assert set(template.document["Outputs"]) == {
        "ApiUrl", "TableName", "DataBucketName", "BaseModelsBucketName", "ArtifactsBucketName", "EventBusName",
        "DashboardUrl", "DashboardBucketName",
    }  # fmt: skip


def _path(template: Template, method: Resource) -> str:
    parts: list[str] = []
    at = method["ResourceId"]
    while "Ref" in at:
        resource = template.resources[at["Ref"]]["Properties"]
        parts.insert(0, resource["PathPart"])
        at = resource["ParentId"]
    return "/" + "/".join(parts)


def _target(method: Resource) -> str:
    uri = text(method["Integration"]["Uri"])
    return uri.split("functions/<")[1].split(".Arn>")[0][:-8]


def test_what_api_gateway_says_by_itself_is_in_the_table_of_codes() -> None:
    assert {code for _, _, code in REFUSALS} <= {row.code for row in ERRORS}
