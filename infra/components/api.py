"""The REST API: every route goes whole to the function of its surface."""

import json
from collections.abc import Mapping

from aws_cdk import Duration, RemovalPolicy, Tags
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from infra import catalog
from infra.acknowledgements import acknowledge
from infra.components.firewall import Firewall
from infra.flavours import Flavour
from infra.naming import physical_name

# Requests per second and the burst above it that API Gateway lets through, over all callers.
RATE, BURST = 200, 400

# Seconds after which to come back, by what API Gateway answers by itself. The web ACL counts by the minute.
_RETRY_AFTER = {"THROTTLED": 1, "INTEGRATION_FAILURE": 1, "WAF_FILTERED": 60}

# What API Gateway answers by itself: response type, status, code.
REFUSALS = (
    (apigateway.ResponseType.DEFAULT_4_XX, None, "request_rejected"),
    (apigateway.ResponseType.DEFAULT_5_XX, None, "internal_error"),
    # Its own answer to an unknown path is a 403 that speaks of tokens.
    (apigateway.ResponseType.MISSING_AUTHENTICATION_TOKEN, "404", "not_found"),
    (apigateway.ResponseType.REQUEST_TOO_LARGE, "413", "payload_too_large"),
    (apigateway.ResponseType.THROTTLED, "429", "rate_limited"),
    # The web ACL has no rules but those of rates.
    (apigateway.ResponseType.WAF_FILTERED, "429", "rate_limited"),
    (apigateway.ResponseType.INTEGRATION_FAILURE, "503", "unavailable"),
    (apigateway.ResponseType.INTEGRATION_TIMEOUT, "504", "timeout"),
)


class Api(Construct):
    """`functions` by catalogue name; of a `flavour` that streams, some pass their answers on in parts."""

    def __init__(
        self, scope: Construct, construct_id: str, *, functions: Mapping[str, lambda_.Function], flavour: Flavour
    ) -> None:
        super().__init__(scope, construct_id)
        self._streaming = {row.name for row in catalog.API if row.streams and flavour.streams}
        self.access_logs = logs.LogGroup(
            self, "AccessLogs", retention=logs.RetentionDays.THREE_MONTHS, removal_policy=RemovalPolicy.DESTROY
        )
        self.rest = apigateway.RestApi(
            self,
            "Rest",
            rest_api_name=physical_name(self, "api"),
            # Regional: an edge-optimized endpoint would cut off a stream after 30 seconds of silence.
            endpoint_types=[apigateway.EndpointType.REGIONAL],
            # Everything else is text; a file upload would not survive being read as such.
            binary_media_types=["multipart/form-data", "application/octet-stream"],
            cloud_watch_role=True,
            cloud_watch_role_removal_policy=RemovalPolicy.DESTROY,
            deploy_options=self._stage(),
        )
        # The stack has its own output for the address.
        self.rest.node.try_remove_child("Endpoint")
        for name, value in flavour.api_tags.items():
            Tags.of(self.rest).add(name, value, include_resource_types=["AWS::ApiGateway::RestApi"])
        self._add_routes(functions)
        self._add_refusals()
        Firewall(self, "Firewall", stage=self.rest.deployment_stage)
        self._acknowledge()

    def _stage(self) -> apigateway.StageOptions:
        return apigateway.StageOptions(
            stage_name="prod",
            access_log_destination=apigateway.LogGroupLogDestination(self.access_logs),
            access_log_format=apigateway.AccessLogFormat.custom(json.dumps(_ACCESS_LOG)),
            logging_level=apigateway.MethodLoggingLevel.ERROR,
            throttling_rate_limit=RATE,
            throttling_burst_limit=BURST,
            tracing_enabled=True,
        )

    def _add_routes(self, functions: Mapping[str, lambda_.Function]) -> None:
        integrations = {name: self._integration(functions[name], name) for name in functions}
        for method, path, row in catalog.routes():
            self.rest.root.resource_for_path(path).add_method(method, integrations[row.name])

    def _integration(self, function: lambda_.Function, name: str) -> apigateway.LambdaIntegration:
        # One permission per function: per method they would outgrow the function's resource policy.
        if name not in self._streaming:
            return apigateway.LambdaIntegration(function, scope_permission_to_method=False)
        return apigateway.LambdaIntegration(
            function,
            scope_permission_to_method=False,
            response_transfer_mode=apigateway.ResponseTransferMode.STREAM,
            timeout=Duration.minutes(15),
        )

    def _add_refusals(self) -> None:
        for response_type, status, code in REFUSALS:
            headers = {"x-request-id": "context.requestId"}
            if seconds := _RETRY_AFTER.get(response_type.response_type):
                headers["Retry-After"] = f"'{seconds}'"
            self.rest.add_gateway_response(
                f"Refusal{response_type.response_type.title().replace('_', '')}",
                type=response_type,
                status_code=status,
                response_headers=headers,
                templates={"application/json": refusal_body(code)},
            )

    def _acknowledge(self) -> None:
        keys = "Requests carry Luthier's own API keys, which the functions check; unknown paths have to answer 404."
        acknowledge(self, "APIG4", keys)
        acknowledge(self, "COG4", keys)
        acknowledge(self, "APIG2", "The functions validate requests and name the field, the rule and the remedy.")
        managed = "service-role/AmazonAPIGatewayPushToCloudWatchLogs"
        acknowledge(
            self,
            f"IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/{managed}]",
            "API Gateway asks for exactly this policy to write its logs, once per account.",
        )


# API Gateway's own words for it do not say what to do.
_TOO_LARGE = "A request may carry 10 MB. Upload larger files through POST /v1/files/presigned, or in parts of 4 MB."


def refusal_body(code: str) -> str:
    """The one body of everything that API Gateway rejects before a function sees it."""
    # messageString comes with its own quotes.
    message = f'"{_TOO_LARGE}"' if code == "payload_too_large" else "$context.error.messageString"
    return f'{{"error":{{"code":"{code}","message":{message},"type":null,"param":null,"details":null}}}}'


# Who, what, how long; no header and no query, which may carry a key.
_ACCESS_LOG = {
    "time": "$context.requestTime",
    "requestId": "$context.requestId",
    "ip": "$context.identity.sourceIp",
    "userAgent": "$context.identity.userAgent",
    "method": "$context.httpMethod",
    "path": "$context.path",
    "resource": "$context.resourcePath",
    "status": "$context.status",
    "responseLength": "$context.responseLength",
    "latency": "$context.responseLatency",
    "integrationLatency": "$context.integrationLatency",
    "integrationError": "$context.integrationErrorMessage",
}
