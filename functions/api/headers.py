"""Request headers that several surfaces understand."""

from typing import Annotated

from aws_lambda_powertools.event_handler.openapi.params import Header

from luthier.wire import LONGEST_NAME

IdempotencyKey = Annotated[str | None, Header(alias="Idempotency-Key", max_length=LONGEST_NAME)]
# What the openai client counts up when it repeats a request by itself.
RetryCount = Annotated[int | None, Header(alias="x-stainless-retry-count", ge=0, include_in_schema=False)]
