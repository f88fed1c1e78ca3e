"""InvokeEndpointWithResponseStream: a container's answer as events, passed on as it is written."""

import time
from http.client import HTTPException

from infra.local.emulator import Receive, Send
from infra.local.relay import Relay
from infra.local.sagemaker import event_stream

# SageMaker's own limit on one streamed invocation.
STREAM_SECONDS = 480


class ContainerStream(Relay):
    """One answer of a container."""

    def __init__(self, url: str, body: bytes, headers: dict[str, str]) -> None:
        self._ends = time.monotonic() + STREAM_SECONDS
        super().__init__(url, body, headers, STREAM_SECONDS)

    async def run(self, send: Send, receive: Receive) -> None:
        """Pass the parts on; an answer that is broken off or takes too long ends in an exception."""
        try:
            async for part in self.parts(receive):
                await _send(send, event_stream.payload_part(part))
                if time.monotonic() > self._ends:
                    late = event_stream.model_stream_error("ModelInvocationTimeExceeded", "It took too long.")
                    await _send(send, late)
                    break
        except (OSError, HTTPException):
            broken = event_stream.model_stream_error("StreamBroken", "The container broke off its answer.")
            await _send(send, broken)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _send(send: Send, event: bytes) -> None:
    await send({"type": "http.response.body", "body": event, "more_body": True})
