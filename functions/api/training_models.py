"""The training_models surface: /v2/training/*. camelCase answers, one wrapper key where the page has one."""

import re

from functions.api import training_aliases, training_deployments
from functions.api.app import Surface
from functions.api.error_shapes import training_models as error_shape

app = Surface(
    "training_models",
    error_shape,
    slashed_ids=re.compile(r"(?<=^/v2/training/models/).+?(?=(/(deploy|deployments))?/*$)"),
)
handler = app.handle

training_deployments.add_routes(app)
training_aliases.add_routes(app)
