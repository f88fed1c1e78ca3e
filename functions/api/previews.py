"""Previewing files, on the openai surface."""

from typing import Annotated

from aws_lambda_powertools.event_handler.api_gateway import Response
from aws_lambda_powertools.event_handler.openapi.params import Query

from functions.api.app import Surface, needs
from luthier import wiring
from luthier.processing.preview_schema import FilePreviewAnswer
from luthier.processing.previewing import MOST_ROWS
from luthier.wire import LONGEST_NAME

Model = Annotated[
    str, Query(min_length=1, max_length=LONGEST_NAME, description="A base model, or a model of one, by any name.")
]
Rows = Annotated[int, Query(ge=1, le=MOST_ROWS, description="How many of the riskiest rows.")]
Line = Annotated[int | None, Query(ge=1, description="The line of the row to show instead.")]
Length = Annotated[int | None, Query(ge=8, description="Tokens per row; by default what a job would have.")]


def add_routes(app: Surface) -> None:
    @app.get(
        "/v1/files/<file_id>/preview",
        # Whoever asks first starts a job, which may be charged.
        security=needs("files:write"),
        summary="See what training makes of a file's rows, the riskiest first",
        responses={
            200: {"description": "The rows."},
            202: {"description": "They are being tokenized. Ask again after `Retry-After` seconds."},
        },
    )
    def preview_file(
        file_id: str, model: Model, limit: Rows = 5, row: Line = None, max_sequence_length: Length = None
    ) -> Response[FilePreviewAnswer]:
        found = wiring.previews().preview(
            app.principal, file_id, model, limit=limit, row=row, max_sequence_length=max_sequence_length
        )
        answer = FilePreviewAnswer.of(found)
        if found.retry_after:
            return Response(202, "application/json", answer, headers={"Retry-After": str(found.retry_after)})
        return Response(200, "application/json", answer)
