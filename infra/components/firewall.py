"""The web ACL in front of the API: it counts requests per address before any of them costs a function.

Keys have limits of their own, which functions count exactly; this one is for whoever has no key. It cannot tell a
made-up key from a real one, nor see that an answer was 401: functions count wrong keys per address, too.
"""

from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_wafv2 as waf
from constructs import Construct

from infra.components.in_aws import only_in_aws

# Requests per minute and address: those that bring no key, and all of them. The stage itself takes 12,000 a minute, so
# no single address can use it up.
KEYLESS_RATE, ADDRESS_RATE = 300, 6_000
_KEY_HEADERS = ("authorization", "x-api-key")


class Firewall(Construct):
    """Whoever is over a rate is refused until the rate falls; API Gateway says so with its WAF_FILTERED response."""

    def __init__(self, scope: Construct, construct_id: str, *, stage: apigateway.Stage) -> None:
        super().__init__(scope, construct_id)
        self.acl = waf.CfnWebACL(
            self,
            "Acl",
            scope="REGIONAL",
            default_action=waf.CfnWebACL.DefaultActionProperty(allow={}),
            visibility_config=_visible("Requests"),
            rules=[
                _rule("Keyless", 0, KEYLESS_RATE, scope_down=_without_key()),
                _rule("PerAddress", 1, ADDRESS_RATE),
            ],
        )
        association = waf.CfnWebACLAssociation(
            self, "Association", resource_arn=stage.stage_arn, web_acl_arn=self.acl.attr_arn
        )
        for resource in (self.acl, association):
            only_in_aws(resource)


def _rule(
    name: str, priority: int, rate: int, scope_down: waf.CfnWebACL.StatementProperty | None = None
) -> waf.CfnWebACL.RuleProperty:
    counted = waf.CfnWebACL.RateBasedStatementProperty(
        aggregate_key_type="IP", evaluation_window_sec=60, limit=rate, scope_down_statement=scope_down
    )
    return waf.CfnWebACL.RuleProperty(
        name=name,
        priority=priority,
        action=waf.CfnWebACL.RuleActionProperty(block={}),
        statement=waf.CfnWebACL.StatementProperty(rate_based_statement=counted),
        visibility_config=_visible(name),
    )


def _without_key() -> waf.CfnWebACL.StatementProperty:
    with_key = waf.CfnWebACL.OrStatementProperty(statements=[_has(header) for header in _KEY_HEADERS])
    either = waf.CfnWebACL.StatementProperty(or_statement=with_key)
    return waf.CfnWebACL.StatementProperty(not_statement=waf.CfnWebACL.NotStatementProperty(statement=either))


def _has(header: str) -> waf.CfnWebACL.StatementProperty:
    return waf.CfnWebACL.StatementProperty(
        size_constraint_statement=waf.CfnWebACL.SizeConstraintStatementProperty(
            field_to_match=waf.CfnWebACL.FieldToMatchProperty(single_header={"Name": header}),
            comparison_operator="GT",
            size=0,
            text_transformations=[waf.CfnWebACL.TextTransformationProperty(priority=0, type="NONE")],
        )
    )


def _visible(name: str) -> waf.CfnWebACL.VisibilityConfigProperty:
    # Sampled requests show headers, keys among them.
    return waf.CfnWebACL.VisibilityConfigProperty(
        cloud_watch_metrics_enabled=True, metric_name=f"Luthier{name}", sampled_requests_enabled=False
    )
