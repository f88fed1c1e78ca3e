"""The playground surface: /api/v1/playground. Everything inside `data`, snake_case."""

from functions.api.app import Surface, needs
from functions.api.error_shapes import playground as error_shape
from luthier import wiring
from luthier.catalog import service as catalog
from luthier.errors import NotEnabled
from luthier.inference import playground_schema as schema

PLAYGROUND = "/api/v1/playground"

app = Surface("playground", error_shape)
handler = app.handle


@app.get(f"{PLAYGROUND}/models", security=needs("models:read"), summary="List what the playground can ask")
def list_playground_models() -> schema.PlaygroundModelsAnswer:
    return schema.PlaygroundModelsAnswer.of(catalog.base_models(), wiring.models().newest(app.principal))


@app.post(f"{PLAYGROUND}/completions", security=needs("inference:write"), summary="Run a completion")
def run_playground_completion(body: schema.Completion) -> schema.CompletionAnswer:
    if wiring.settings().hosted_inference == "off":
        message = "Playground inference is unavailable for hosted fine-tuned models."
        raise NotEnabled(message, code="playground_unavailable")
    answered = wiring.inference().ask(app.principal, body.for_engine())
    app.say_who(answered.by)
    return schema.CompletionAnswer.of(answered)
