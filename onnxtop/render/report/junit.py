"""JUnit XML: a suite a model, a case a rule, or a rule and layer where it found something.

A case fails if its finding would fail the run (``--fail-on``; errors where that was not said). Milder and
known findings pass, with their message as output; a rule that did not run is skipped, with the reason. Every
suite has a case for the analysis itself: it passes if the model was analysed, is skipped if there was nothing
to analyse, and an error if the model could not be analysed or compared. Times are written if they were taken:
equal results then give other bytes.
"""

import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence

from onnxtop.render import RenderOptions
from onnxtop.render.report import facts
from onnxtop.render.report.places import SourcePlace, by_path, model_place, place_of, title_of
from onnxtop.render.text import visible
from onnxtop.results.outcome import FailedModel, Outcome, Result, code_of, fails, path_of, verdict_of
from onnxtop.results.report import Finding, Report

_ANALYSIS = "analysis"

_COUNTS = {
    "tests": "testcase",
    "failures": "testcase/failure",
    "errors": "testcase/error",
    "skipped": "testcase/skipped",
}


def render(results: Sequence[Result], options: RenderOptions) -> str:
    """Render all models as one document."""
    suites = ET.Element("testsuites", name="onnxtop")
    for result in by_path(results):
        suites.append(_suite(result, options))
    for name in _COUNTS:
        suites.set(name, str(sum(int(suite.get(name, "0")) for suite in suites)))
    if options.seconds is not None:
        suites.set("time", _time(sum(options.seconds.values())))
    ET.indent(suites)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(suites, encoding="unicode")}\n'


def _suite(result: Result, options: RenderOptions) -> ET.Element:
    path = path_of(result)
    suite = ET.Element("testsuite", name=visible(path))
    properties = ET.SubElement(suite, "properties")
    ET.SubElement(properties, "property", name="verdict", value=verdict_of(result, options.fail_on))
    analysis = _analysis(result, options.fail_on)
    suite.append(analysis)
    if isinstance(result, Report):
        suite.extend(_cases(result, options.fail_on))
    for name, cases in _COUNTS.items():
        suite.set(name, str(len(suite.findall(cases))))
    if options.seconds is not None:
        for each in (suite, analysis):
            each.set("time", _time(options.seconds.get(path, 0.0)))
    return suite


def _time(seconds: float) -> str:
    return f"{seconds:.3f}"


def _analysis(result: Result, fail_on: str | None) -> ET.Element:
    """Make the case of the analysis itself."""
    path = path_of(result)
    case = _case(path, _ANALYSIS, model_place(path))
    verdict = verdict_of(result, fail_on)
    if verdict is Outcome.NOTHING:
        told = result.message if isinstance(result, FailedModel) else facts.nothing(result)
        ET.SubElement(case, "skipped", message=visible(told))
    elif isinstance(result, FailedModel) or verdict is Outcome.INCOMPARABLE:
        told = result.message if isinstance(result, FailedModel) else verdict
        kind = f"exit {code_of(result, fail_on)}"
        ET.SubElement(case, "error", message=visible(told), type=kind).text = visible(told)
    else:
        ET.SubElement(case, "system-out").text = visible(facts.analysed(result.coverage))
    return case


def _cases(report: Report, fail_on: str | None) -> Iterator[ET.Element]:
    """Make a case of all findings of a rule about a layer, of each rule without any, and of each not run."""
    path, groups = report.model.path, _groups(report)
    place = model_place(path)
    for findings in groups.values():
        yield _found(report, findings, fail_on)
    empty = facts.nothing(report) if verdict_of(report, fail_on) is Outcome.NOTHING else ""
    spoken = {rule for rule, _ in groups}
    reasons = {each.rule: each.reason for each in report.rules.not_run}
    quiet = {code: empty for code in report.rules.run if code not in spoken}
    for code, reason in sorted({**quiet, **reasons}.items()):
        case = _case(path, title_of(code), place)
        if reason:
            ET.SubElement(case, "skipped", message=visible(reason))
        yield case


def _groups(report: Report) -> dict[tuple[str, str | None], list[Finding]]:
    groups: dict[tuple[str, str | None], list[Finding]] = {}
    for finding in report.findings:
        groups.setdefault((finding.rule, finding.layer), []).append(finding)
    return groups


def _found(report: Report, findings: Sequence[Finding], fail_on: str | None) -> ET.Element:
    first = findings[0]
    title = title_of(first.rule)
    name = title if first.layer is None else f"{title}: {first.layer}"
    case = _case(report.model.path, name, place_of(report, first))
    failures = [each for each in findings if fails(each, fail_on)]
    if failures:
        failure = ET.SubElement(
            case, "failure", message=visible(failures[0].message), type=failures[0].severity
        )
        failure.text = "\n".join(visible(each.message) for each in failures)
    passed = [each for each in findings if each not in failures]
    if passed:
        ET.SubElement(case, "system-out").text = "\n".join(map(_told, passed))
    return case


def _case(path: str, name: str, place: SourcePlace) -> ET.Element:
    return ET.Element("testcase", classname=visible(path), name=visible(name), file=visible(place.path))


def _told(finding: Finding) -> str:
    return visible(f"{finding.severity}{' (known)' if finding.known else ''}: {finding.message}")
