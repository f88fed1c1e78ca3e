"""The dashboard in AWS: a private bucket behind CloudFront, which has the API on the same origin.

The page's policy lets it ask its own origin only, so CloudFront passes the API's paths on. CloudFront has no silence
longer than a minute; the page asks for streams, which never are silent that long.
"""

from aws_cdk import CfnResource, Duration, RemovalPolicy
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_cloudfront as cloudfront
from aws_cdk import aws_cloudfront_origins as origins
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra.acknowledgements import acknowledge
from infra.components.in_aws import only_in_aws
from infra.dashboard import CONTENT_SECURITY_POLICY, HEADERS

# Everything that the page asks the API for.
API_PATHS = ("/v1/*", "/v2/*", "/api/*", "/openapi.json")
_OWN_HEADERS = ("Cross-Origin-Opener-Policy",)


class Dashboard(Construct):
    """`bucket` is filled by `python -m infra.dashboard`, after the stack is there."""

    def __init__(self, scope: Construct, construct_id: str, *, api: apigateway.RestApi) -> None:
        super().__init__(scope, construct_id)
        self.bucket = s3.Bucket(
            self,
            "Files",
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            # Nothing of a customer's lies here, and CloudFront needs no key for it.
            encryption=s3.BucketEncryption.S3_MANAGED,
            enforce_ssl=True,
            removal_policy=RemovalPolicy.RETAIN,
        )
        passed_on = cloudfront.BehaviorOptions(
            origin=origins.RestApiOrigin(api, read_timeout=Duration.seconds(60)),
            allowed_methods=cloudfront.AllowedMethods.ALLOW_ALL,
            cache_policy=cloudfront.CachePolicy.CACHING_DISABLED,
            # Everything that came, the key too; only the host has to be API Gateway's own.
            origin_request_policy=cloudfront.OriginRequestPolicy.ALL_VIEWER_EXCEPT_HOST_HEADER,
            viewer_protocol_policy=cloudfront.ViewerProtocolPolicy.HTTPS_ONLY,
            # A compressed stream would be held back until there is enough of it.
            compress=False,
        )
        self.distribution = cloudfront.Distribution(
            self,
            "Distribution",
            comment="Luthier's dashboard and, beside it, the API",
            default_root_object="index.html",
            default_behavior=cloudfront.BehaviorOptions(
                origin=origins.S3BucketOrigin.with_origin_access_control(self.bucket),
                response_headers_policy=self._headers(),
                viewer_protocol_policy=cloudfront.ViewerProtocolPolicy.REDIRECT_TO_HTTPS,
            ),
            additional_behaviors=dict.fromkeys(API_PATHS, passed_on),
            price_class=cloudfront.PriceClass.PRICE_CLASS_100,
        )
        for part in self.node.find_all():
            if isinstance(part, CfnResource):
                only_in_aws(part)
        self._acknowledge()

    @property
    def url(self) -> str:
        return f"https://{self.distribution.distribution_domain_name}/"

    def _headers(self) -> cloudfront.ResponseHeadersPolicy:
        return cloudfront.ResponseHeadersPolicy(
            self,
            "Headers",
            security_headers_behavior=cloudfront.ResponseSecurityHeadersBehavior(
                content_security_policy=cloudfront.ResponseHeadersContentSecurityPolicy(
                    content_security_policy=CONTENT_SECURITY_POLICY, override=True
                ),
                content_type_options=cloudfront.ResponseHeadersContentTypeOptions(override=True),
                referrer_policy=cloudfront.ResponseHeadersReferrerPolicy(
                    referrer_policy=cloudfront.HeadersReferrerPolicy.NO_REFERRER, override=True
                ),
                strict_transport_security=cloudfront.ResponseHeadersStrictTransportSecurity(
                    access_control_max_age=Duration.days(365), include_subdomains=False, override=True
                ),
            ),
            custom_headers_behavior=cloudfront.ResponseCustomHeadersBehavior(
                custom_headers=[
                    cloudfront.ResponseCustomHeader(header=name, value=HEADERS[name], override=True)
                    for name in _OWN_HEADERS
                ]
            ),
        )

    def _acknowledge(self) -> None:
        acknowledge(self, "S1", "It holds the published files of the dashboard, the same for everybody.")
        acknowledge(self, "CFR1", "An organization's people may be anywhere; who is let in is decided by keys.")
        acknowledge(self, "CFR2", "The API has a web ACL of its own; the files are the same for everybody.")
        acknowledge(self, "CFR3", "API Gateway logs every access to the API; the files are the same for everybody.")
        acknowledge(self, "CFR4", "CloudFront's own name allows no other certificate; another name is the operator's.")
