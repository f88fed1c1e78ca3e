"""The account surface: the API's own description, and the JSON 404 of every path that no surface has."""

from functools import cache
from pathlib import Path

from aws_lambda_powertools.event_handler.api_gateway import Response

from functions.api.app import ANYONE, Surface
from functions.api.error_shapes import openai as error_shape

app = Surface("account", error_shape)
handler = app.handle


@app.get("/openapi.json", security=ANYONE, summary="Describe this API", responses={200: {"description": "OpenAPI 3.1"}})
def get_openapi() -> Response[str]:
    return Response(200, "application/json", _document())


@cache
def _document() -> str:
    return (Path(__file__).parent / "openapi.json").read_text()
