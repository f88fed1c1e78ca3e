"""Asking a deployment by its id, under both documented paths; errors have the shape of training_models."""

import re

from functions.api import endpoint_runs
from functions.api.app import Surface, needs
from functions.api.error_shapes import endpoints as error_shape
from luthier import wiring
from luthier.inference import endpoint_schema as schema

INFER = needs("inference:write")

# A name of a model may hold slashes; what follows it says where it ends.
_NAMES = re.compile(
    r"(?:(?<=^/v2/endpoints/)|(?<=^/v2/)(?!endpoints/)).+?(?=/(?:runsync|runasync|health|(?:status|cancel)/[^/]+)/*$)"
)

app = Surface("endpoints", error_shape, slashed_ids=_NAMES)
handler = app.handle
endpoint_runs.add_routes(app)


@app.post("/v2/<endpoint_id>/runsync", security=INFER, summary="Ask a deployment and wait for the answer")
def run_endpoint(endpoint_id: str, body: schema.RunSync) -> schema.RunAnswer:
    answered = wiring.inference().ask(app.principal, body.input.for_engine(endpoint_id))
    app.say_who(answered.by)
    return schema.RunAnswer.of(answered)


@app.post("/v2/endpoints/<endpoint_id>/runsync", security=INFER, summary="The same under the longer path")
def run_endpoint_of_list(endpoint_id: str, body: schema.RunSync) -> schema.RunAnswer:
    return run_endpoint(endpoint_id, body)
