"""Training speed per base model and hardware, as finished jobs measured it. Estimates prefer it to the formula."""

from typing import Any

from luthier import table


class Calibration:
    def __init__(self, client: Any, table_name: str) -> None:
        self._client = client
        self._table = table_name

    def record(self, base_model: str, hardware: str, *, tokens: int, seconds: float) -> None:
        """Add one finished run. Every run weighs by its length."""
        self._client.update_item(
            TableName=self._table,
            Key=table.encode(table.calibration(base_model, hardware)),
            UpdateExpression="ADD tokens :t, milliseconds :m",
            ExpressionAttributeValues={":t": {"N": str(tokens)}, ":m": {"N": str(round(seconds * 1000))}},
        )

    def tokens_per_second(self, base_model: str, hardware: str) -> float | None:
        """The measured speed, None before the first run: one read."""
        key = table.encode(table.calibration(base_model, hardware))
        item = table.decode(self._client.get_item(TableName=self._table, Key=key).get("Item", {}))
        return 1000 * item["tokens"] / item["milliseconds"] if item.get("milliseconds") else None
