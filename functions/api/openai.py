"""The openai surface: /v1/files, /v1/models, /v1/chat/completions, in OpenAI's objects."""

import re
from typing import Annotated, Any, Literal

from aws_lambda_powertools.event_handler.api_gateway import Response
from aws_lambda_powertools.event_handler.openapi.params import Query

from functions.api.app import Surface, needs
from functions.api.error_shapes import openai as error_shape
from functions.api.multipart import read_form
from functions.api.validation import body_bytes
from luthier import wiring
from luthier.datasets import schema as files
from luthier.datasets.content import CONTENT_TYPE
from luthier.inference.schema import ChatRequest
from luthier.models import schema as models

FILES = "/v1/files"
FILE = f"{FILES}/<file_id>"
READ_FILES, WRITE_FILES = needs("files:read"), needs("files:write")
READ_MODELS, INFER = needs("models:read"), needs("inference:write")

Limit = Annotated[int, Query(ge=1, le=10_000)]
After = Annotated[str | None, Query(description="The id after which the page starts.")]
Order = Annotated[Literal["asc", "desc"], Query(description="By created_at.")]
Purpose = Annotated[str | None, Query()]

app = Surface("openai", error_shape, slashed_ids=re.compile(r"(?<=^/v1/models/).+?(?=/*$)"))
handler = app.handle


@app.post(FILES, security=WRITE_FILES, summary="Upload a file", openapi_extensions=files.UPLOAD_BODY)
def upload_file() -> files.File:
    form = read_form(app.header("Content-Type") or "", body_bytes(app.current_event))
    return files.File.of(wiring.datasets().upload(app.principal, **files.upload(form.fields, form.files)))


@app.post(f"{FILES}/presigned", security=WRITE_FILES, summary="Begin an upload that goes straight to storage")
def begin_upload(body: files.BeginUpload) -> files.UploadBegun:
    dataset, url, headers = wiring.datasets().begin_upload(app.principal, **body.model_dump())
    return files.UploadBegun.of(dataset, url, headers)


@app.post(f"{FILE}/complete", security=WRITE_FILES, summary="Check a file that was uploaded to storage")
def complete_upload(file_id: str) -> files.File:
    return files.File.of(wiring.datasets().complete_upload(app.principal, file_id))


@app.get(FILES, security=READ_FILES, summary="List files")
def list_files(
    limit: Limit = 10_000, after: After = None, order: Order = "desc", purpose: Purpose = None
) -> files.FileList:
    page = wiring.datasets().list(app.principal, limit=limit, after=after, order=order, purpose=purpose)
    return files.FileList.of(page.items, page.has_more)


@app.get(FILE, security=READ_FILES, summary="Get a file")
def get_file(file_id: str) -> files.File:
    return files.File.of(wiring.datasets().get(app.principal, file_id))


@app.delete(FILE, security=WRITE_FILES, summary="Delete a file")
def delete_file(file_id: str) -> files.FileDeleted:
    return files.FileDeleted(id=wiring.datasets().delete(app.principal, file_id).id)


@app.get(f"{FILE}/content", security=READ_FILES, summary="Download a file")
def get_content(file_id: str) -> Response[str]:
    content = wiring.datasets().content(app.principal, file_id)
    if content.body is None:
        return Response(302, headers={"Location": content.url})
    return Response(200, CONTENT_TYPE, content.body.decode(errors="replace"))


@app.get(f"{FILE}/report", security=READ_FILES, summary="Read what is wrong with a file, line by line")
def get_report(file_id: str) -> files.FileReport:
    return files.FileReport.model_validate(wiring.datasets().report(app.principal, file_id))


@app.get("/v1/models", security=READ_MODELS, summary="List fine-tuned models")
def list_models() -> models.ModelList:
    return models.ModelList.of(wiring.models().newest(app.principal))


@app.get("/v1/models/<model_id>", security=READ_MODELS, summary="Get a model by any of its names")
def get_model(model_id: str) -> models.ModelObject:
    return models.ModelObject.of(wiring.models().get(app.principal, model_id))


@app.post("/v1/chat/completions", security=INFER, summary="Ask a deployed model")
def create_chat_completion(body: ChatRequest) -> dict[str, Any]:
    return wiring.inference().chat(app.principal, body.for_engine())
