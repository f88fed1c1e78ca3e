"""Executions of one state machine, addressed by name: starting one twice starts it once."""

import json
from typing import Any

RUNNING = "RUNNING"


class Executions:
    def __init__(self, client: Any, state_machine_arn: str) -> None:
        self._client = client
        self._machine = state_machine_arn

    def start(self, name: str, step: dict[str, Any]) -> None:
        """Start the execution `name` with the input `step`, unless it was started before."""
        try:
            self._client.start_execution(stateMachineArn=self._machine, name=name, input=json.dumps(step))
        except self._client.exceptions.ExecutionAlreadyExists:
            return

    def status(self, name: str) -> str | None:
        """RUNNING, SUCCEEDED, FAILED, TIMED_OUT or ABORTED; None where none of this name was started."""
        arn = f"{self._machine.replace(':stateMachine:', ':execution:')}:{name}"
        try:
            return self._client.describe_execution(executionArn=arn)["status"]
        except self._client.exceptions.ExecutionDoesNotExist:
            return None
