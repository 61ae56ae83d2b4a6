"""The JSON Schema of the report, made from its dataclasses, and a small validator.

Run as a script, this writes ``onnxtop/results/report.schema.json``.
"""

import dataclasses
import json
import re
import types
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from onnxtop.results.report import ON_DATA, SCHEMA_VERSION, Finding, Report
from onnxtop.rules.rule import SEVERITIES

PATH = Path(__file__).resolve().parent.parent / "onnxtop" / "results" / "report.schema.json"

NARROWER: Mapping[tuple[type, str], dict[str, Any]] = {
    (Report, "schema_version"): {"const": SCHEMA_VERSION},
    (Finding, "severity"): {"enum": list(SEVERITIES)},
    (Finding, "rule"): {"type": "string", "pattern": "^OT[0-9]{3}$"},
    (Finding, "fingerprint"): {"type": "string", "pattern": "^[0-9a-f]{16}$"},
}
"""What the types do not say."""

PLAIN = {str: "string", int: "integer", float: "number", bool: "boolean"}


def schema() -> dict[str, Any]:
    definitions: dict[str, Any] = {}
    _define(Report, definitions)
    whole = definitions.pop("Report")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "onnxtop report",
        **whole,
        "$defs": dict(sorted(definitions.items())),
    }


def _define(kind: type, definitions: dict[str, Any]) -> dict[str, Any]:
    if kind.__name__ not in definitions:
        definitions[kind.__name__] = {}
        hints = typing.get_type_hints(kind)
        names = [field.name for field in dataclasses.fields(kind)]
        doc = (kind.__doc__ or "").split("\n\n")[0]
        definitions[kind.__name__] = {
            "description": " ".join(doc.split()),
            "type": "object",
            "properties": {
                name: NARROWER.get((kind, name)) or _typed(hints[name], definitions) for name in names
            },
            "required": [name for name in names if kind is not Report or name not in ON_DATA],
            "additionalProperties": False,
        }
    return {"$ref": f"#/$defs/{kind.__name__}"}


def _typed(hint: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        return _define(hint, definitions)
    if origin in (typing.Union, types.UnionType):
        return {"anyOf": [_typed(arg, definitions) for arg in args]}
    if hint is types.NoneType:
        return {"type": "null"}
    if origin is tuple:
        return {"type": "array", "items": _typed(args[0], definitions)}
    if origin is not None and issubclass(origin, Mapping):
        return {"type": "object", "additionalProperties": _typed(args[1], definitions)}
    return {} if hint is Any else {"type": PLAIN[hint]}


def complaints(
    value: Any, rule: Mapping[str, Any], root: Mapping[str, Any], place: str = "$"
) -> Iterator[str]:
    """Yield what is wrong with a value, for the keywords that `schema` uses."""
    if "$ref" in rule:
        rule = root["$defs"][rule["$ref"].rpartition("/")[2]]
    if "anyOf" in rule:
        if not any(not list(complaints(value, each, root, place)) for each in rule["anyOf"]):
            yield f"{place}: {value!r:.60} fits nothing"
        return
    if "const" in rule and value != rule["const"]:
        yield f"{place}: {value!r} is not {rule['const']!r}"
    if "enum" in rule and value not in rule["enum"]:
        yield f"{place}: {value!r} is none of {rule['enum']}"
    if "pattern" in rule and not (isinstance(value, str) and re.search(rule["pattern"], value)):
        yield f"{place}: {value!r} does not match {rule['pattern']}"
    if "type" in rule and not _is(value, rule["type"]):
        yield f"{place}: {value!r:.60} is no {rule['type']}"
        return
    if isinstance(value, dict):
        known = rule.get("properties", {})
        yield from (f"{place}: no {key}" for key in rule.get("required", ()) if key not in value)
        for key, item in value.items():
            more = rule.get("additionalProperties", True)
            if key in known:
                yield from complaints(item, known[key], root, f"{place}.{key}")
            elif more is False:
                yield f"{place}: {key} is unknown"
            elif isinstance(more, Mapping):
                yield from complaints(item, more, root, f"{place}.{key}")
    if isinstance(value, list):
        for number, item in enumerate(value):
            yield from complaints(item, rule.get("items", {}), root, f"{place}[{number}]")


def _is(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    kinds: Mapping[str, Any] = {
        "object": dict,
        "array": list,
        "string": str,
        "integer": int,
        "number": (int, float),
        "null": types.NoneType,
        "boolean": bool,
    }
    return isinstance(value, kinds[kind])


def text() -> str:
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    PATH.write_text(text(), encoding="utf-8")
