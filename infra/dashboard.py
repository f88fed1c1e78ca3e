"""The dashboard's built files, and the headers that they are served with, on one machine and in AWS."""

from pathlib import Path

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
