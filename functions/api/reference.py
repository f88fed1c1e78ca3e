"""The page of GET /docs: openapi.json in Swagger UI. It is whole, so that it asks nobody else for anything.

Swagger UI comes with Powertools, which the layer pins: one viewer that others keep, and nothing to vendor.
"""

import base64
import hashlib
from functools import cache
from importlib.resources import files
from pathlib import Path

DOCUMENT = Path(__file__).with_name("openapi.json")
_VIEWER = files("aws_lambda_powertools.event_handler.openapi.swagger_ui")
# A saved page has no platform behind it; under API Gateway's own name the address ends with a stage.
_START = """
const spec = JSON.parse(document.getElementById("document").textContent);
if (location.protocol.startsWith("http"))
  spec.servers = [{ url: location.origin + location.pathname.replace(/\\/docs\\/?$/, "") }];
SwaggerUIBundle({
  spec, dom_id: "#reference", deepLinking: true, docExpansion: "none", filter: true, validatorUrl: null,
  defaultModelsExpandDepth: -1, syntaxHighlight: { activated: false },
});
"""
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Luthier: API reference</title>
<link rel="icon" href="data:,">
<style>{style}</style>
</head>
<body>
<div id="reference"></div>
<script type="application/json" id="document">{document}</script>
<script>{viewer}</script>
<script>{start}</script>
</body>
</html>
"""


@cache
def document() -> str:
    return DOCUMENT.read_text()


@cache
def page() -> str:
    # Else a text of the document could end the element that holds it.
    held = document().replace("<", "\\u003c")
    return _PAGE.format(style=_style(), document=held, viewer=_viewer(), start=_START)


@cache
def headers() -> dict[str, str]:
    """What lets the page run its own two scripts, ask this API, and nothing else."""
    scripts = " ".join(map(_hash, (_viewer(), _START)))
    allowed = {
        "default-src": "'none'",
        "script-src": scripts,
        "style-src": _hash(_style()),
        "img-src": "data:",
        "connect-src": "'self'",
        **dict.fromkeys(("base-uri", "form-action", "frame-ancestors"), "'none'"),
    }
    policy = "; ".join(f"{name} {value}" for name, value in allowed.items())
    return {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }


def _viewer() -> str:
    return _VIEWER.joinpath("swagger-ui-bundle.min.js").read_text()


def _style() -> str:
    return _VIEWER.joinpath("swagger-ui.min.css").read_text()


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
