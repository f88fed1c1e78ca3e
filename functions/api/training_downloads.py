"""Downloading models, on the training_models surface."""

from aws_lambda_powertools.event_handler.api_gateway import Response

from functions.api.app import ANYONE, Surface, needs
from luthier import wiring
from luthier.downloads import schema
from luthier.downloads.entity import Preparing


def add_routes(app: Surface) -> None:
    @app.post(
        "/v2/training/models/<model_id>/download",
        security=needs("models:write"),
        summary="Download a model",
        responses={
            200: {"description": "It can be fetched."},
            202: {"description": "It is being made. Ask again after `Retry-After` seconds."},
        },
    )
    def download_model(model_id: str, body: schema.DownloadModel) -> Response[schema.DownloadAnswer]:
        found = wiring.downloads().download(app.principal, model_id, **body.model_dump())
        answer = schema.DownloadAnswer.of(found, app.base_url)
        if isinstance(found, Preparing):
            return Response(202, "application/json", answer, headers={"Retry-After": str(found.retry_after)})
        return Response(200, "application/json", answer)

    @app.get(
        "/v2/training/downloads/<token>",
        security=ANYONE,
        summary="Fetch a download by its token",
        responses={
            200: {"description": "The files one by one, each with its link."},
            302: {"description": "The archive.", "content": {}},
        },
    )
    def fetch_download(token: str) -> Response[schema.DownloadFiles]:
        found = wiring.downloads().redeem(token)
        if archive := found.download.archive:
            return Response(302, headers={"Location": found.urls[archive.name]})
        return Response(200, "application/json", schema.DownloadFiles.of(found))
