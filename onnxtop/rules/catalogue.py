"""All rules in the order of their codes, and how they are applied to a report.

Families: OT0 load and coverage, OT1 numbers, OT2 one layer, OT3 graph, OT4 topology, OT5 differences to a
baseline, OT6 quantisation, OT7 runs.
"""

from collections.abc import Mapping
from dataclasses import replace
from fnmatch import fnmatchcase

from onnxtop.results.report import (
    IGNORED,
    NOT_SELECTED,
    SWITCHED_OFF,
    Finding,
    LayerReport,
    NotRun,
    Report,
    RulesRun,
)
from onnxtop.rules import (
    coverage,
    differences,
    function,
    graph,
    numbers,
    quantisation,
    running,
    topology,
    units,
    untrained,
)
from onnxtop.rules.baseline import foreign, incomparable
from onnxtop.rules.function import is_settled
from onnxtop.rules.matching import partners
from onnxtop.rules.rule import Policy, Rule

FAMILIES = {
    "OT0": "load and coverage",
    "OT1": "numbers",
    "OT2": "one layer",
    "OT3": "graph",
    "OT4": "topology",
    "OT5": "differences to a baseline",
    "OT6": "quantisation",
    "OT7": "runs of the model",
}
"""What the first digit of a code means."""

_MODULES = (
    *(coverage, numbers, units, untrained, graph, topology),
    *(differences, function, quantisation, running),
)

RULES: tuple[Rule, ...] = tuple(
    item for module in _MODULES for item in vars(module).values() if isinstance(item, Rule)
)
"""The catalogue."""


def judged(report: Report, policy: Policy | None = None, flags: Mapping[str, str] | None = None) -> Report:
    """Return the report with the findings of all rules of the policy, by code, then in graph order.

    A finding that the baseline has as well, by fingerprint, is marked as known; differences to the baseline
    never are: they are new by what they say. A baseline that cannot be compared is a finding itself, which
    calls settings by their ``flags``. Rules that do not run are noted with the reason.
    """
    policy = _comparable(policy or Policy(), report, flags)
    known = _known(policy.baseline)
    shapes = {layer.name: layer.shape for layer in (*_old_layers(policy), *report.layers)}
    earlier = partners(report, policy.baseline, renamed=policy.settled) if policy.baseline else {}
    findings: list[Finding] = []
    run, not_run = [], []
    for rule in RULES:
        if why := why_not(rule, report, policy):
            not_run.append(NotRun(rule.code, why))
        else:
            run.append(rule.code)
            for layer, message in rule.find(report, policy):
                if not _is_ignored(rule, layer, policy):
                    mark = Finding.fingerprint_of(rule.code, layer, shapes.get(layer or "", ()))
                    is_known = not known.isdisjoint((mark, _then(rule, earlier.get(layer or ""))))
                    severity = severity_of(rule, policy)
                    findings.append(Finding(rule.code, severity, layer, message, mark, is_known))
    return replace(report, findings=tuple(findings), rules=RulesRun(tuple(run), tuple(not_run)))


def apply(report: Report, policy: Policy | None = None) -> tuple[Finding, ...]:
    """Return the findings of all rules of the policy; see `judged`."""
    return judged(report, policy).findings


def why_not(rule: Rule, report: Report, policy: Policy) -> str:
    """Say why a rule does not run: it was not chosen, or lacks what it needs; empty if it runs."""
    if not chosen(rule, policy):
        return IGNORED if chosen(rule, replace(policy, ignore=())) else NOT_SELECTED
    if severity_of(rule, policy) == "off":
        return SWITCHED_OFF
    return next(filter(None, (need(report, policy) for need in rule.needs)), "")


def _then(rule: Rule, layer: LayerReport | None) -> str:
    """Return the fingerprint of a finding on the baseline's layer, which may have another name."""
    return "" if layer is None else Finding.fingerprint_of(rule.code, layer.name, layer.shape)


def _comparable(policy: Policy, report: Report, flags: Mapping[str, str] | None) -> Policy:
    """Leave out a baseline that the report cannot be compared with, and say why; note what is settled."""
    if policy.baseline is None:
        return policy
    settled = is_settled(report, policy)
    why = incomparable(report, policy.baseline, flags)
    if not why and policy.verdict is None and not settled:
        why = foreign(report, policy.baseline)
    return replace(policy, baseline=None, incomparable=why) if why else replace(policy, settled=settled)


def _known(baseline: Report | None) -> set[str]:
    findings = baseline.findings if baseline else ()
    return {finding.fingerprint for finding in findings if not finding.rule.startswith("OT5")}


def find_rule(name: str) -> Rule | None:
    """Return the rule of this code or name."""
    return next((rule for rule in RULES if name in (rule.code, rule.name)), None)


def severity_of(rule: Rule, policy: Policy) -> str:
    """Return the severity that the policy gives a rule, by name or code; ``off`` for none."""
    return policy.severities.get(rule.name, policy.severities.get(rule.code, rule.severity))


def chosen(rule: Rule, policy: Policy) -> bool:
    """Tell whether a rule runs; of a selection and an exclusion the longer beginning of the code decides."""
    selected = _longest(rule, policy.select) if policy.select else 0
    return selected >= 0 and selected >= _longest(rule, policy.ignore)


def _longest(rule: Rule, prefixes: tuple[str, ...]) -> int:
    return max((len(prefix) for prefix in prefixes if _matches(rule, prefix)), default=-1)


def _matches(rule: Rule, prefix: str) -> bool:
    return prefix == rule.name or rule.code.startswith(prefix)


def _is_ignored(rule: Rule, layer: str | None, policy: Policy) -> bool:
    return layer is not None and any(
        _matches(rule, prefix) and fnmatchcase(layer, pattern) for prefix, pattern in policy.ignores
    )


def _old_layers(policy: Policy) -> tuple[LayerReport, ...]:
    return policy.baseline.layers if policy.baseline else ()
