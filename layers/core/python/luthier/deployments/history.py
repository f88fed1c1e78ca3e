"""How long deployments took to come up: per base model, hardware, kind, and whether the host was there already."""

from typing import Any

from luthier import table

# What the training_models page tells, until something was measured.
USUAL_SECONDS = 300
# What lies further back weighs less: each new measurement is worth this part.
_WEIGHT = 0.3


class History:
    def __init__(self, client: Any, table_name: str) -> None:
        self._client = client
        self._table = table_name

    def record(self, base_model: str, hardware: str, kind: str, *, warm: bool, seconds: float) -> None:
        """Add one measurement to the moving average. Of two at once one may be lost: it is an estimate."""
        earlier = self._read(base_model, hardware, kind, warm=warm)
        average = seconds if earlier is None else earlier + _WEIGHT * (seconds - earlier)
        item = table.readiness(base_model, hardware, kind, warm=warm) | {"seconds": round(average, 1)}
        self._client.put_item(TableName=self._table, Item=table.encode(item))

    def expected_seconds(self, base_model: str, hardware: str, kind: str, *, warm: bool) -> float:
        """One read."""
        earlier = self._read(base_model, hardware, kind, warm=warm)
        return USUAL_SECONDS if earlier is None else earlier

    def _read(self, base_model: str, hardware: str, kind: str, *, warm: bool) -> float | None:
        key = table.encode(table.readiness(base_model, hardware, kind, warm=warm))
        item = table.decode(self._client.get_item(TableName=self._table, Key=key).get("Item", {}))
        return item.get("seconds")
