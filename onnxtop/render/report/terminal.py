"""The report for people: a page a model."""

from collections.abc import Iterable, Sequence

from onnxtop.render import RenderOptions
from onnxtop.render.page import Page
from onnxtop.render.report import facts
from onnxtop.render.report.layers import layer_table
from onnxtop.render.text import counted, humanised
from onnxtop.results.outcome import FailedModel, Result
from onnxtop.results.report import Finding, LayerReport, Report

_SEVERITY_STYLES = {"error": "bold red", "warning": "yellow", "note": "cyan"}


def render(results: Sequence[Result], options: RenderOptions) -> str:
    """Draw a page a model, ``options.width`` cells wide (at least 40, at most 120)."""
    shown = [result for result in results if options.failed or not isinstance(result, FailedModel)]
    pages = [ReportPage(options).draw(result) for result in shown]
    return "\n".join([*pages, *([f"{told}\n"] if (told := facts.incomplete(results)) else [])])


class ReportPage(Page):
    """One model on one page."""

    def draw(self, result: Result) -> str:
        """Return the finished page."""
        if isinstance(result, FailedModel):
            self._failed(result)
        else:
            self._report(result)
        return self.finished()

    def _failed(self, failed: FailedModel) -> None:
        self.line(self.signs.short(failed.path, self.width), "bold")
        self.paragraph(f"not analysed: {failed.message}", "red")

    def _report(self, report: Report) -> None:
        self.line(self.signs.short(report.model.path, self.width), "bold")
        self._facts(report)
        self.line()
        if report.layers:
            self._layers(report)
        else:
            self.paragraph(facts.nothing(report), "yellow")
        if report.settings.topology and report.coverage.parameters_analysed:
            figures, *shares = facts.deep_graph(report)
            for line in (f"deep graph persistence {figures}", *shares):
                self.paragraph(line)
        for line in facts.loss(report):
            self.paragraph(line)
        self._skipped(report)
        self._findings(report)

    def _facts(self, report: Report) -> None:
        coverage, dot = report.coverage, self.signs.dot
        made_by = [self.signs.short(phrase, 50) for phrase in facts.made_by(report)]
        self.paragraph(dot.join(made_by))
        self.paragraph(dot.join(facts.size(report)))
        whole = coverage.parameters_analysed == coverage.parameters_total
        self.paragraph(facts.analysed(coverage), "" if whole else "yellow")
        if apart := facts.apart(coverage):
            self.paragraph(f"apart from weights: {', '.join(apart)}", "dim")
        if report.settings.topology:
            about = f"NP is normalized neural persistence: {', '.join(facts.settings(report))}"
            self.paragraph(about, "dim")

    def _layers(self, report: Report) -> None:
        rows = facts.chosen_rows(report, self.all_rows)
        notes = _notes(report, rows)
        self.lines(layer_table(report, rows, notes, self.signs, self.width))
        if report.settings.topology:
            self.paragraph("; ".join(facts.whole(report)))
        if note := facts.rows_note(report, rows):
            self.paragraph(note, "dim")
        self.listed([(f"[{index}]", reason, "yellow") for reason, index in notes.items()])

    def _skipped(self, report: Report) -> None:
        groups = facts.skipped_groups(report.coverage.skipped)
        if not groups:
            return
        tensors = counted(len(report.coverage.skipped), "weight tensor")
        lost = counted(sum(group.parameters for group in groups), "parameter")
        self.line()
        self.line(f"skipped: {tensors}, {lost}", "bold yellow")
        self.listed([self._skipped_group(group) for group in groups])

    def _skipped_group(self, group: facts.SkippedGroup) -> tuple[str, str, str]:
        many = f"{group.tensors:,} {self.signs.times} {self.signs.short(group.op_type, 16)}"
        return many, f"{group.reason} ({humanised(group.parameters)})", ""

    def _findings(self, report: Report) -> None:
        if report.findings:
            self.line()
            self.line(f"findings: {facts.severities(report.findings)}", "bold")
            self.listed([self.finding(each) for each in facts.by_severity(report.findings)])
        if told := facts.unchecked([report]):
            self.paragraph("; ".join(told), "dim")

    def finding(self, finding: Finding) -> tuple[str, str, str]:
        """Return an entry of the list of findings."""
        where = "" if finding.layer is None else f"{self.signs.short(finding.layer, 40)}: "
        label = f"{finding.severity} {finding.rule}{' known' if finding.known else ''}"
        return label, f"{where}{finding.message}", _SEVERITY_STYLES[finding.severity]


def _notes(report: Report, rows: Iterable[LayerReport | facts.Gap]) -> dict[str, int]:
    """Give a number to every remark that stands beside the rows shown, the network's included."""
    reasons = [facts.remark(row) for row in rows if isinstance(row, LayerReport)]
    if report.settings.topology:
        reasons.append(report.network.neural_persistence.reason or "")
    return {reason: i for i, reason in enumerate(dict.fromkeys(filter(None, reasons)), start=1)}
