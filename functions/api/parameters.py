"""Headers, query parameters and answers that several surfaces have in common."""

from typing import Annotated, Any

from aws_lambda_powertools.event_handler.openapi.params import Header, Query

from luthier.wire import LONGEST_NAME

IdempotencyKey = Annotated[str | None, Header(alias="Idempotency-Key", max_length=LONGEST_NAME)]
# What the openai client counts up when it repeats a request by itself.
RetryCount = Annotated[int | None, Header(alias="x-stainless-retry-count", ge=0, include_in_schema=False)]
Limit = Annotated[int, Query(ge=1, le=100, description="Rows per page.")]
After = Annotated[str | None, Query(max_length=LONGEST_NAME, description="The id after which the page starts.")]
NO_CONTENT: dict[int, Any] = {204: {"description": "No Content"}}
