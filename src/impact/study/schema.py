"""What editors know of a parameter file beside the study itself: its matrix."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

_MATRIX = "several runs: lists whose product is taken, or the name of a CSV file with one run a row"
_RUNS = {
    "include": "further runs, each with values of its own, and the file's for the rest",
    "exclude": "runs of the product to leave out, by some of their values",
}


def with_matrix(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the JSON Schema of a study with a section ``matrix``, whose keys are all those of the others."""
    values: dict[str, tuple[Any, str]] = {}
    patterns: dict[str, tuple[Any, str]] = {}
    for key, field, pointer in _fields(schema, schema, "#", ""):
        values[key] = {"$ref": pointer}, field["description"]
        if any(one.get("type") == "object" and "properties" not in one for one in _options(schema, field)):
            patterns[rf"^{re.escape(key)}\."] = {}, field["description"]

    def keys(each: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        def described(fields: dict[str, tuple[Any, str]]) -> dict[str, Any]:
            return {key: {**each(value), "description": text} for key, (value, text) in fields.items()}

        properties = {"properties": described(values), "patternProperties": described(patterns)}
        return {"minProperties": 1, "additionalProperties": False, **properties}

    runs = {
        name: {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/Run"}, "description": text}
        for name, text in _RUNS.items()
    }
    lists = keys(lambda value: {"type": "array", "minItems": 1, "uniqueItems": True, "items": value})
    lists["properties"] |= runs
    defined = {
        "Run": {"type": "object", **keys(lambda value: value)},
        "Matrix": {"type": ["string", "object"], **lists},
    }
    return {
        **schema,
        "$defs": {**schema["$defs"], **defined},
        "properties": {**schema["properties"], "matrix": {"$ref": "#/$defs/Matrix", "description": _MATRIX}},
    }


def _fields(
    schema: dict[str, Any], node: dict[str, Any], pointer: str, inside: str
) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Yield every key with its schema and where that is, sections before what they hold."""
    for name, field in node.get("properties", {}).items():
        key, here = f"{inside}{name}", f"{pointer}/properties/{name}"
        yield key, field, here
        for i, option in enumerate(field.get("anyOf", [field])):
            if "$ref" in option:
                target = option["$ref"]
                yield from _fields(schema, _at(schema, target), target, f"{key}.")
            elif "anyOf" in field:
                yield from _fields(schema, option, f"{here}/anyOf/{i}", f"{key}.")


def _options(schema: dict[str, Any], field: dict[str, Any]) -> list[dict[str, Any]]:
    return [_at(schema, one["$ref"]) if "$ref" in one else one for one in field.get("anyOf", [field])]


def _at(schema: dict[str, Any], pointer: str) -> dict[str, Any]:
    for part in pointer.removeprefix("#/").split("/"):
        schema = schema[part]
    return schema
