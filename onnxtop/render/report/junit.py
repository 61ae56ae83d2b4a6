"""JUnit XML: a suite a model, a case a rule and layer.

A case fails if its finding would fail the run (``--fail-on``; errors where that was not said). Milder and
known findings pass, with their message as output. Every suite has a case for the analysis itself: it passes
if the model could be analysed, and is an error if not.
"""

import xml.etree.ElementTree as ET
from collections.abc import Sequence

from onnxtop.render import RenderOptions
from onnxtop.render.report import facts
from onnxtop.render.report.places import by_path, title_of
from onnxtop.render.text import visible
from onnxtop.results.outcome import FailedModel, Result, fails, path_of
from onnxtop.results.report import Finding, Report

_ANALYSIS = "analysis"

_COUNTS = ("tests", "failures", "errors", "skipped")


def render(results: Sequence[Result], options: RenderOptions) -> str:
    """Render all models as one document; it holds no times, so that equal results give equal bytes."""
    suites = ET.Element("testsuites", name="onnxtop")
    for result in by_path(results):
        suites.append(_suite(result, options.fail_on))
    for name in _COUNTS:
        suites.set(name, str(sum(int(suite.get(name, "0")) for suite in suites)))
    ET.indent(suites)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(suites, encoding="unicode")}\n'


def _suite(result: Result, fail_on: str | None) -> ET.Element:
    path = path_of(result)
    suite = ET.Element("testsuite", name=visible(path))
    case = ET.SubElement(suite, "testcase", classname=visible(path), name=_ANALYSIS)
    if isinstance(result, FailedModel):
        error = ET.SubElement(case, "error", message=visible(result.message), type=f"exit {result.code}")
        error.text = visible(result.message)
    else:
        ET.SubElement(case, "system-out").text = visible(facts.analysed(result.coverage))
        suite.extend(_cases(result, fail_on))
    counts = {
        "tests": len(suite),
        "failures": len(suite.findall("testcase/failure")),
        "errors": len(suite.findall("testcase/error")),
        "skipped": 0,
    }
    for name, count in counts.items():
        suite.set(name, str(count))
    return suite


def _cases(report: Report, fail_on: str | None) -> list[ET.Element]:
    """Make one case of all findings of a rule about a layer."""
    groups: dict[tuple[str, str | None], list[Finding]] = {}
    for finding in report.findings:
        groups.setdefault((finding.rule, finding.layer), []).append(finding)
    return [_case(report, found, fail_on) for found in groups.values()]


def _case(report: Report, found: Sequence[Finding], fail_on: str | None) -> ET.Element:
    first = found[0]
    title = title_of(first)
    name = title if first.layer is None else f"{title}: {first.layer}"
    case = ET.Element("testcase", classname=visible(report.model.path), name=visible(name))
    failures = [each for each in found if fails(each, fail_on)]
    if failures:
        failure = ET.SubElement(
            case, "failure", message=visible(failures[0].message), type=failures[0].severity
        )
        failure.text = "\n".join(visible(each.message) for each in failures)
    passed = [each for each in found if each not in failures]
    if passed:
        ET.SubElement(case, "system-out").text = "\n".join(map(_told, passed))
    return case


def _told(finding: Finding) -> str:
    return visible(f"{finding.severity}{' (known)' if finding.known else ''}: {finding.message}")
