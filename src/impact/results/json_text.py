"""Results as JSON text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pandas as pd


def as_json(table: pd.DataFrame, method: Mapping[str, Any], **more: Any) -> str:
    """Write a table and its method as one JSON text, with missing values as null."""
    rows = json.loads(table.to_json(orient="records", double_precision=15, date_format="iso"))
    return json.dumps({"method": dict(method), **more, "table": rows}, default=str, ensure_ascii=False)
