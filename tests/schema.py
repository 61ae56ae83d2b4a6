"""The JSON Schemas of everything that verbs write as JSON, made from the dataclasses behind it.

Run as a script, this writes ``onnxtop/results/*.schema.json``.
"""

import dataclasses
import json
import types
import typing
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

from onnxtop.loss.summary import LossProbeResult
from onnxtop.results.diff import Diff
from onnxtop.results.graph import GraphNode
from onnxtop.results.landscape import LossLandscape
from onnxtop.results.outcome import ModelCounts, Outcome, RunCounts
from onnxtop.results.plain import may_miss, written
from onnxtop.results.report import SCHEMA_VERSION, Finding, NotRun, Report, Settings, ToolInfo
from onnxtop.results.trace import Checkpoint, Trace
from onnxtop.results.words import SEVERITIES

FOLDER = Path(__file__).resolve().parent.parent / "onnxtop" / "results"

Schema = dict[str, Any]

CODE = {"type": "string", "pattern": "^OT[0-9]{3}$"}

NARROWER: Mapping[tuple[type, str], Schema] = {
    (Finding, "severity"): {"enum": list(SEVERITIES)},
    (Finding, "rule"): CODE,
    (NotRun, "rule"): CODE,
    (Finding, "fingerprint"): {"type": "string", "pattern": "^[0-9a-f]{16}$"},
}
"""What the types do not say."""

WIDER: Mapping[tuple[type, str], type] = {
    (Report, "loss_probe"): LossProbeResult,
    (Report, "loss_landscape"): LossLandscape,
}
"""Plain values in a report, and what they were made from."""

PLAIN = {str: "string", int: "integer", float: "number", bool: "boolean"}

MEASURED = (
    *("onnxtop.loss.", "onnxtop.results.diff", "onnxtop.results.landscape"),
    "onnxtop.results.trace",
)
"""Modules whose numbers may turn out not to be finite: null stands for these."""

_PATH = {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}
_ERROR = {
    "type": "object",
    "properties": {"code": {"type": "integer"}, "message": {"type": "string"}},
    "required": ["code", "message"],
    "additionalProperties": False,
}


class _Definitions:
    """The schemas of dataclasses, each once, by their names."""

    def __init__(self) -> None:
        self.known: dict[str, Schema] = {}

    def of(self, kind: type) -> Schema:
        """Return the reference to the schema of a dataclass."""
        if kind.__name__ not in self.known:
            self.known[kind.__name__] = {}
            hints = typing.get_type_hints(kind)
            names = [field.name for field in written(kind)]
            missing = [field.name for field in written(kind) if may_miss(field)]
            doc = (kind.__doc__ or "").split("\n\n")[0]
            self.known[kind.__name__] = {
                "description": " ".join(doc.split()),
                **_closed({name: self._field(kind, name, hints[name]) for name in names}, missing),
            }
        return {"$ref": f"#/$defs/{kind.__name__}"}

    def _field(self, kind: type, name: str, hint: Any) -> Schema:
        if wider := WIDER.get((kind, name)):
            return self.of(wider)
        nullable = kind.__module__.startswith(MEASURED)
        return NARROWER.get((kind, name)) or self._typed(hint, nullable)

    def _typed(self, hint: Any, nullable: bool) -> Schema:
        origin, args = typing.get_origin(hint), typing.get_args(hint)
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            return self.of(hint)
        if origin is typing.Annotated:
            return self._typed(args[0], nullable)
        if origin in (typing.Union, types.UnionType):
            return {"anyOf": [self._typed(arg, nullable) for arg in args]}
        if hint is types.NoneType:
            return {"type": "null"}
        if origin is tuple:
            return {"type": "array", "items": self._typed(args[0], nullable)}
        if origin is not None and issubclass(origin, Mapping):
            return {"type": "object", "additionalProperties": self._typed(args[1], nullable)}
        if isinstance(hint, type) and issubclass(hint, StrEnum):
            return {"enum": [each.value for each in hint]}
        return {"type": ["number", "null"] if hint is float and nullable else PLAIN[hint]}

    def failure(self) -> Schema:
        """Return the reference to the schema of a model that could not be analysed."""
        self.known["Failure"] = {
            "description": "A model that could not be analysed, in its place.",
            **_closed({"model": {**_PATH, "additionalProperties": False}, "error": _ERROR}),
        }
        return {"$ref": "#/$defs/Failure"}


def _closed(properties: Schema, optional: typing.Sequence[str] = ()) -> Schema:
    """Describe an object of these keys and no other."""
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name not in optional],
        "additionalProperties": False,
    }


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _array(items: Schema) -> Schema:
    return {"type": "array", "items": items}


_VERSION = {"const": SCHEMA_VERSION}
_INCOMPLETE = {"complete": {"const": False}, "not_reached": _array({"type": "string"})}
_VERDICT = {"enum": [each.value for each in Outcome]}


def report(definitions: _Definitions) -> Schema:
    """Describe the envelope around reports."""
    definitions.of(Report)
    entry = definitions.known["Report"]
    fields = {**entry["properties"], "verdict": _VERDICT, "counts": definitions.of(ModelCounts)}
    del fields["tool"], fields["settings"]
    entry |= _closed(fields, sorted({*entry["properties"]} - {*entry["required"]}))
    keys = {
        "schema_version": _VERSION,
        "tool": definitions.of(ToolInfo),
        "settings": _or_null(definitions.of(Settings)),
        "verdict": _VERDICT,
        **_INCOMPLETE,
        "counts": definitions.of(RunCounts),
        "reports": _array({"anyOf": [{"$ref": "#/$defs/Report"}, definitions.failure()]}),
    }
    return _closed(keys, list(_INCOMPLETE))


def diff(definitions: _Definitions) -> Schema:
    """Describe a comparison."""
    definitions.of(Diff)
    whole = definitions.known.pop("Diff")["properties"]
    verdict = definitions.known["WholeDiff"]["properties"]["verdict"]
    told = {"verdict": verdict, "changed": {"type": "boolean"}, "same_architecture": {"type": "boolean"}}
    return _closed({"schema_version": _VERSION, "tool": whole.pop("tool"), **told, **whole})


def probe(definitions: _Definitions) -> Schema:
    """Describe the probes of models."""
    model = _closed({"path": {"type": "string"}, "sha256": {"type": "string"}, "bytes": {"type": "integer"}})
    probed = _closed({"model": model, "loss_probe": definitions.of(LossProbeResult)})
    keys = {
        "schema_version": _VERSION,
        "tool": definitions.of(ToolInfo),
        **_INCOMPLETE,
        "reports": _array({"anyOf": [probed, definitions.failure()]}),
    }
    return _closed(keys, list(_INCOMPLETE))


def loss_barcode(definitions: _Definitions) -> Schema:
    """Describe the loss barcode of a network."""
    found = definitions.of(LossLandscape)
    tool = definitions.of(ToolInfo)
    return _closed({"schema_version": _VERSION, "tool": tool, "loss_landscape": found})


def trace(definitions: _Definitions) -> Schema:
    """Describe a training run; a checkpoint that could not be read has its failure in its place.

    A line of jsonl is one checkpoint, or what stands in its place.
    """
    definitions.of(Trace)
    whole = definitions.known.pop("Trace")["properties"]
    del definitions.known["FailedModel"]
    point, failed = definitions.of(Checkpoint), definitions.failure()
    whole["checkpoints"] = _array({"anyOf": [point, failed]})
    version = {"schema_version": _VERSION}
    lines = ({"checkpoint": point}, definitions.known["Failure"]["properties"])
    return {
        "type": "object",
        "properties": version,
        "required": list(version),
        "anyOf": [_closed({**version, **keys}) for keys in (whole, *lines)],
    }


def graph(definitions: _Definitions) -> Schema:
    """Describe the graph of layers, in the node-link form of networkx."""
    definitions.of(GraphNode)
    node = definitions.known.pop("GraphNode")["properties"]
    text = {"type": "string"}
    about = _closed({"model": text, "connectivity": text, "notes": _array(text)})
    return _closed(
        {
            "schema_version": _VERSION,
            "directed": {"const": True},
            "multigraph": {"const": False},
            "graph": about,
            "nodes": _array(_closed({"id": text, **node})),
            "edges": _array(_closed({"source": text, "target": text})),
        }
    )


_INTERRUPTED = {
    "description": "What is written where an interrupt came before anything was finished.",
    **_closed(
        {
            "schema_version": _VERSION,
            "tool": {"type": "object"},
            "complete": {"const": False},
            "error": _ERROR,
        }
    ),
}


def or_interrupted(make: Callable[[_Definitions], Schema]) -> Callable[[_Definitions], Schema]:
    """Let the whole be missing, where it is done whole or not at all."""
    return lambda definitions: {
        "type": "object",
        "properties": {"schema_version": _VERSION},
        "required": ["schema_version"],
        "anyOf": [make(definitions), _INTERRUPTED],
    }


MAKERS = {
    "report": report,
    "diff": or_interrupted(diff),
    "trace": trace,
    "graph": or_interrupted(graph),
    "probe": probe,
    "loss-barcode": or_interrupted(loss_barcode),
}


def schema(verb: str) -> Schema:
    """Return the schema of what a verb writes."""
    definitions = _Definitions()
    whole = MAKERS[verb](definitions)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:onnxtop:schema:{verb}:{SCHEMA_VERSION}",
        "title": f"onnxtop {verb}",
        **whole,
        **({"$defs": dict(sorted(definitions.known.items()))} if definitions.known else {}),
    }


def path(verb: str) -> Path:
    """Return the file that is shipped."""
    return FOLDER / f"{verb}.schema.json"


def text(verb: str) -> str:
    """Return what should stand in it."""
    return json.dumps(schema(verb), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for verb in MAKERS:
        path(verb).write_text(text(verb), encoding="utf-8")
