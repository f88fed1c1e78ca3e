"""The dashboard's built files, and the headers that they are served with, on one machine and in AWS."""

import mimetypes
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[1] / "clients" / "dashboard" / "dist"

# Everything comes from the page's own origin, the API too, and no text can become code.
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
    )
)
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}
# Names of assets carry a hash of what is in them; the page names them, so it is asked for every time.
PAGE_CACHE, ASSET_CACHE = "no-cache", "public, max-age=31536000, immutable"


def publish(folder: Path, s3: Any, bucket: str) -> int:
    """Put the built files into a bucket and return how many. FileNotFoundError where they were not built.

    The page goes last: it names assets, and whoever still has the old page finds the old ones.
    """
    page = folder / "index.html"
    paths = [*sorted((folder / "assets").iterdir()), page]
    for path in paths:
        s3.put_object(
            Bucket=bucket,
            Key=path.relative_to(folder).as_posix(),
            Body=path.read_bytes(),
            ContentType=mimetypes.guess_type(path.name)[0] or "application/octet-stream",
            CacheControl=PAGE_CACHE if path == page else ASSET_CACHE,
        )
    return len(paths)


def main() -> None:
    """`python -m infra.dashboard`: publish to the deployed stack and say where the page is."""
    import boto3

    stack = boto3.client("cloudformation").describe_stacks(StackName="Luthier")["Stacks"][0]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
    publish(FOLDER, boto3.client("s3"), outputs["DashboardBucketName"])
    print(f"The dashboard is at {outputs['DashboardUrl']}")


if __name__ == "__main__":
    main()
