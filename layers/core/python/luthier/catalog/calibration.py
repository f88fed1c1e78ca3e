"""Training speed as finished jobs measured it: per base model, hardware, method and adapter.

Estimates prefer it to the formula.
"""

from typing import Any

from luthier import table


def workload(method: str, adapter: str) -> str:
    """What runs must have in common to be equally fast."""
    return f"{method}/{adapter}"


class Calibration:
    def __init__(self, client: Any, table_name: str) -> None:
        self._client = client
        self._table = table_name

    def record(self, base_model: str, hardware: str, workload: str, *, tokens: int, seconds: float) -> None:
        """Add one finished run of a workload (see `workload`). Every run weighs by its length."""
        self._client.update_item(
            TableName=self._table,
            Key=table.encode(table.calibration(base_model, hardware, workload)),
            UpdateExpression="ADD tokens :t, milliseconds :m",
            ExpressionAttributeValues={":t": {"N": str(tokens)}, ":m": {"N": str(round(seconds * 1000))}},
        )

    def tokens_per_second(self, base_model: str, hardware: str, workload: str) -> float | None:
        """The measured speed, None before the first run: one read."""
        key = table.encode(table.calibration(base_model, hardware, workload))
        item = table.decode(self._client.get_item(TableName=self._table, Key=key).get("Item", {}))
        return 1000 * item["tokens"] / item["milliseconds"] if item.get("milliseconds") else None
