"""Files that come in parts, on the openai surface."""

from functions.api.app import Surface, needs
from functions.api.multipart import read_form
from functions.api.parameters import IdempotencyKey, RetryCount
from functions.api.validation import body_bytes
from luthier import wiring
from luthier.idempotency import Repetition
from luthier.uploads import schema

UPLOADS = "/v1/uploads"
UPLOAD = f"{UPLOADS}/<upload_id>"
WRITE = needs("files:write")


def add_routes(app: Surface) -> None:
    @app.post(UPLOADS, security=WRITE, summary="Announce a file that comes in parts")
    def create_upload(
        body: schema.CreateUpload, idempotency_key: IdempotencyKey = None, retry_count: RetryCount = None
    ) -> schema.UploadObject:
        made = wiring.uploads().create(
            app.principal,
            filename=body.filename,
            purpose=body.purpose,
            bytes=body.bytes,
            expires_after=body.expires_after.seconds if body.expires_after else None,
            repetition=Repetition(idempotency_key, retry_count, app.name),
        )
        return schema.UploadObject.of(made, wiring.uploads().file(made))

    @app.post(f"{UPLOAD}/parts", security=WRITE, summary="Add a part", openapi_extensions=schema.PART_BODY)
    def add_upload_part(upload_id: str) -> schema.UploadPart:
        form = read_form(app.header("Content-Type") or "", body_bytes(app.current_event))
        content = schema.part(form.fields, form.files)
        return schema.UploadPart.of(wiring.uploads().add_part(app.principal, upload_id, content))

    @app.post(f"{UPLOAD}/complete", security=WRITE, summary="Make a file of the parts")
    def join_upload(upload_id: str, body: schema.CompleteUpload) -> schema.UploadObject:
        done = wiring.uploads().complete(app.principal, upload_id, part_ids=body.part_ids, md5=body.md5)
        return schema.UploadObject.of(*done)

    @app.post(f"{UPLOAD}/cancel", security=WRITE, summary="Give an upload up")
    def cancel_upload(upload_id: str) -> schema.UploadObject:
        return schema.UploadObject.of(wiring.uploads().cancel(app.principal, upload_id))
