"""SARIF 2.1.0, as GitHub code scanning and editors read it.

The rules are those of the catalogue. A finding is at the line of the source that the exporter noted, if that
file is below the working directory, else at 1:1 of the model; node and weight are its logical locations.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from onnxtop._version import HOME, __version__
from onnxtop.render import RenderOptions
from onnxtop.render.json import document
from onnxtop.render.report import facts
from onnxtop.render.report.places import (
    SourcePlace,
    by_path,
    layer_of,
    message_of,
    model_place,
    place_of,
    title_of,
    uri,
)
from onnxtop.render.text import visible
from onnxtop.results.outcome import (
    FailedModel,
    Outcome,
    Result,
    counts_of_run,
    verdict_of,
    verdict_of_run,
)
from onnxtop.results.plain import plain
from onnxtop.results.report import Finding, LayerReport, Report
from onnxtop.rules.catalogue import FAMILIES, RULES
from onnxtop.rules.rule import Rule

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"

_PAGE = f"{HOME}/blob/HEAD/docs/rules.md"
"""Where the rules are explained."""

_INDEX = {rule.code: index for index, rule in enumerate(RULES)}


def render(results: Sequence[Result], options: RenderOptions) -> str:
    """Render all models as one run."""
    ordered = by_path(results)
    reports = [result for result in ordered if isinstance(result, Report)]
    run = {
        "tool": {
            "driver": {
                "name": "onnxtop",
                "version": __version__,
                "semanticVersion": __version__,
                "informationUri": HOME,
                "rules": [_rule(rule) for rule in RULES],
            }
        },
        "columnKind": "unicodeCodePoints",
        "invocations": [_invocation(ordered, options.fail_on)],
        "results": _results(reports),
    }
    return document({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]})


def _invocation(results: Sequence[Result], fail_on: str | None) -> dict[str, Any]:
    """Say what became of the run: its verdict, models that were not analysed, rules that did not run."""
    return {
        "executionSuccessful": not any(isinstance(each, FailedModel) for each in results),
        "toolExecutionNotifications": list(_notifications(results, fail_on)),
        "toolConfigurationNotifications": list(_rules_not_run(results)),
        "properties": {
            "verdict": verdict_of_run(results, fail_on),
            "counts": plain(counts_of_run(results, fail_on)),
        },
    }


def _notifications(results: Sequence[Result], fail_on: str | None) -> Iterator[dict[str, Any]]:
    for result in results:
        if isinstance(result, FailedModel):
            yield _notification("error", result.path, result.message)
        elif verdict_of(result, fail_on) is Outcome.NOTHING:
            yield _notification("warning", result.model.path, facts.nothing(result))


def _rules_not_run(results: Sequence[Result]) -> Iterator[dict[str, Any]]:
    reports = [result for result in results if isinstance(result, Report)]
    models = Counter((each.rule, each.reason) for report in reports for each in report.rules.not_run)
    for (code, reason), count in sorted(models.items()):
        yield {
            "level": "note",
            "message": {
                "text": visible(f"{title_of(code)} was not run: {reason}{facts.on_some(count, len(reports))}")
            },
            "associatedRule": {"id": code, **({"index": _INDEX[code]} if code in _INDEX else {})},
        }


def _rule(rule: Rule) -> dict[str, Any]:
    parts = (
        ("Why", rule.why),
        ("How it is measured", rule.how),
        ("False alarms", rule.false_alarms),
        ("Source", rule.source),
    )
    told = [(title, text) for title, text in parts if text]
    return {
        "id": rule.code,
        "name": "".join(word.capitalize() for word in rule.name.split("-")),
        "shortDescription": {"text": rule.what},
        "helpUri": f"{_PAGE}#{rule.anchor}",
        "fullDescription": {"text": f"{rule.what} {rule.why}"},
        "help": {
            "text": "\n\n".join(f"{title}: {text}" for title, text in told),
            "markdown": "\n\n".join(f"**{title}.** {text}" for title, text in told),
        },
        "defaultConfiguration": {"level": rule.severity},
        "properties": {"tags": ["onnx", FAMILIES[rule.code[:3]]]},
    }


def _results(reports: Sequence[Report]) -> list[dict[str, Any]]:
    seen: Counter[str] = Counter()
    results = []
    for report in reports:
        for finding in report.findings:
            mark = hashlib.sha256(f"{finding.fingerprint}\0{uri(report.model.path)}".encode()).hexdigest()[
                :16
            ]
            seen[mark] += 1
            results.append(_result(report, finding, f"{mark}:{seen[mark]}"))
    return results


def _result(report: Report, finding: Finding, mark: str) -> dict[str, Any]:
    """Describe a finding; ``mark`` tells it from those of other models that share its line of the source."""
    place = place_of(report, finding)
    layer = layer_of(report, finding)
    location = {"physicalLocation": _physical(place)}
    if layer is not None:
        location["logicalLocations"] = _logical(layer)  # type: ignore[assignment]
    result: dict[str, Any] = {
        "ruleId": finding.rule,
        "level": finding.severity,
        "message": {"text": visible(message_of(report, finding))},
        "locations": [location],
        "partialFingerprints": {
            "primaryLocationLineHash": mark,
            "onnxtopFinding/v1": finding.fingerprint,
        },
    }
    if finding.rule in _INDEX:
        result["ruleIndex"] = _INDEX[finding.rule]
    model = model_place(report.model.path)
    if place != model:
        result["relatedLocations"] = [{"id": 1, "physicalLocation": _physical(model)}]
    if finding.known:
        result["baselineState"] = "unchanged"
        result["suppressions"] = [{"kind": "external", "justification": "it is in the baseline"}]
    return result


def _physical(place: SourcePlace) -> dict[str, Any]:
    return {
        "artifactLocation": {"uri": uri(place.path)},
        "region": {
            "startLine": place.line,
            "startColumn": 1,
            "endLine": place.line,
            "endColumn": place.end_column,
        },
    }


def _logical(layer: LayerReport) -> list[dict[str, str]]:
    """Name the layer, the node that uses its weights first, and the tensor that holds them."""
    node = layer.uses[0] if layer.uses else layer.name
    return [
        {"name": visible(layer.name), "kind": "module"},
        {"name": visible(node), "fullyQualifiedName": visible(f"{layer.name}/{node}"), "kind": "function"},
        {"name": visible(layer.weight), "kind": "variable"},
    ]


def _notification(level: str, path: str, message: str) -> dict[str, Any]:
    return {
        "level": level,
        "message": {"text": visible(f"{path}: {message}")},
        "locations": [{"physicalLocation": _physical(model_place(path))}],
    }
