"""The training_models surface: /v2/training/*. camelCase answers, one wrapper key where the page has one."""

import re

from functions.api import (
    training_aliases,
    training_deployments,
    training_downloads,
    training_evaluations,
    training_imports,
    training_registry,
)
from functions.api.app import Surface
from functions.api.error_shapes import training_models as error_shape

# What follows on a model's id, which may hold slashes. The id of an evaluation has none, but a client may send some.
_AFTER_ID = r"(/(archive|deploy|deployments|download|evaluate|evaluations(/.+?)?|restore|versions(/[^/]+)?))?/*$"
# No model has a name with such a part, so a longer path is no id; nor is an import.
_OF_ID = r"(?!import(?:/|$))(?:(?!/(?:archive|deploy|deployments|download|evaluate|evaluations|restore|versions)/).)+?"
_IDS = re.compile(rf"(?<=^/v2/training/models/){_OF_ID}(?={_AFTER_ID})|(?<=/evaluations/).+?(?=/*$)")

app = Surface("training_models", error_shape, slashed_ids=_IDS)
handler = app.handle

training_registry.add_routes(app)
training_imports.add_routes(app)
training_deployments.add_routes(app)
training_evaluations.add_routes(app)
training_aliases.add_routes(app)
training_downloads.add_routes(app)
