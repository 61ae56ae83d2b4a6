"""The report for people, drawn by rich: nothing is ever wider than the terminal.

Names are data: they go through ``Text``, never through rich's markup, and what does not print is escaped.
"""

import io
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from onnxtop.render import FailedModel, RenderOptions, Result
from onnxtop.render.cells import ASCII, UNICODE
from onnxtop.render.report import facts
from onnxtop.render.report.layers import layer_table
from onnxtop.render.text import counted, humanised
from onnxtop.results.report import Finding, LayerReport, Report

__all__ = ["Page", "render"]

_NARROWEST, _WIDEST = 40, 120

_LISTED = 12
"""At most so many findings, reasons or footnotes are listed; ``all_rows`` lists all."""

_SEVERITY_STYLES = {"error": "bold red", "warning": "yellow", "note": "cyan"}


def render(results: Sequence[Result], options: RenderOptions) -> str:
    """Draw a page a model, ``options.width`` cells wide (at least 40, at most 120).

    With ``options.fail_on`` it is the verdict of ``check`` on all models instead.
    """
    if options.fail_on is not None:
        from onnxtop.render.check import terminal as verdict

        return verdict.render(results, options)
    return "\n".join(Page(options).draw(result) for result in results)


class Page:
    """One model on one page."""

    def __init__(self, options: RenderOptions) -> None:
        self.signs = UNICODE if options.unicode else ASCII
        self.width = min(max(options.width, _NARROWEST), _WIDEST)
        self.all_rows = options.all_rows
        self.paper = io.StringIO()
        self.console = Console(
            file=self.paper,
            width=self.width,
            height=25,
            color_system="standard" if options.color else None,
            force_terminal=options.color,
            force_jupyter=False,
            no_color=False,  # the caller has looked at NO_COLOR: do not read the environment again
            legacy_windows=False,
            markup=False,
            emoji=False,
            highlight=False,
        )

    def draw(self, result: Result) -> str:
        """Return the finished page."""
        if isinstance(result, FailedModel):
            self._failed(result)
        else:
            self._report(result)
        return self.finished()

    def finished(self) -> str:
        """Return what was drawn so far, lines without blanks at their ends."""
        return "".join(f"{line.rstrip()}\n" for line in self.paper.getvalue().split("\n")[:-1])

    def _failed(self, failed: FailedModel) -> None:
        self._line(self.signs.short(failed.path, self.width), "bold")
        self._paragraph(f"not analysed: {failed.message}", "red")

    def _report(self, report: Report) -> None:
        self._line(self.signs.short(report.model.path, self.width), "bold")
        self._facts(report)
        self._line("")
        if report.layers:
            self._layers(report)
        else:
            self._paragraph(f"no layers: {facts.why_empty(report)}", "yellow")
        if report.settings.topology and report.coverage.parameters_analysed:
            figures, *shares = facts.deep_graph(report)
            for line in (f"deep graph persistence {figures}", *shares):
                self._paragraph(line)
        for line in facts.loss(report):
            self._paragraph(line)
        self._skipped(report)
        self._findings(report)

    def _facts(self, report: Report) -> None:
        coverage, dot = report.coverage, self.signs.dot
        made_by = [self.signs.short(phrase, 50) for phrase in facts.made_by(report)]
        self._paragraph(dot.join(made_by))
        self._paragraph(dot.join(facts.size(report)))
        whole = coverage.parameters_analysed == coverage.parameters_total
        self._paragraph(facts.analysed(coverage), "" if whole else "yellow")
        if apart := facts.apart(coverage):
            self._paragraph(f"apart from weights: {', '.join(apart)}", "dim")
        if report.settings.topology:
            about = f"NP is normalized neural persistence: {', '.join(facts.settings(report))}"
            self._paragraph(about, "dim")

    def _layers(self, report: Report) -> None:
        rows = facts.chosen_rows(report, self.all_rows)
        notes = _notes(report, rows)
        for line in layer_table(report, rows, notes, self.signs, self.width):
            self.console.print(line)
        if report.settings.topology:
            total = self.signs.figure(report.network.neural_persistence.total)
            self._paragraph(f"sum of the layers' totals {total}")
        if note := facts.rows_note(report, rows):
            self._paragraph(note, "dim")
        self._listed([(f"[{index}]", reason, "yellow") for reason, index in notes.items()])

    def _skipped(self, report: Report) -> None:
        groups = facts.skipped_groups(report.coverage.skipped)
        if not groups:
            return
        tensors = counted(len(report.coverage.skipped), "weight tensor")
        lost = counted(sum(group.parameters for group in groups), "parameter")
        self._line("")
        self._line(f"skipped: {tensors}, {lost}", "bold yellow")
        self._listed([self._skipped_group(group) for group in groups])

    def _skipped_group(self, group: facts.SkippedGroup) -> tuple[str, str, str]:
        many = f"{group.tensors:,} {self.signs.times} {self.signs.short(group.op_type, 16)}"
        return many, f"{group.reason} ({humanised(group.parameters)})", ""

    def _findings(self, report: Report) -> None:
        if report.findings:
            self._line("")
            self._line(f"findings: {facts.severities(report.findings)}", "bold")
            self._listed([self._finding(each) for each in facts.by_severity(report.findings)])

    def _finding(self, finding: Finding) -> tuple[str, str, str]:
        where = "" if finding.layer is None else f"{self.signs.short(finding.layer, 40)}: "
        label = f"{finding.severity} {finding.rule}{' known' if finding.known else ''}"
        return label, f"{where}{finding.message}", _SEVERITY_STYLES[finding.severity]

    def _listed(self, rows: Sequence[tuple[str, str, str]]) -> None:
        """List a label and a sentence a line; long sentences are folded under themselves."""
        shown = rows if self.all_rows else rows[:_LISTED]
        table = Table.grid(padding=(0, 2, 0, 0))
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for label, sentence, style in shown:
            table.add_row(Text(self.signs.short(label, 24), style), Text(self.signs.shown(sentence)))
        self.console.print(Padding(table, (0, 0, 0, 2)))
        if len(shown) < len(rows):
            self._paragraph(f"and {len(rows) - len(shown):,} more; --all lists every one", "dim")

    def _paragraph(self, text: str, style: str = "") -> None:
        self.console.print(Padding(Text(self.signs.shown(text), style, overflow="fold"), (0, 0, 0, 2)))

    def _line(self, text: str, style: str = "") -> None:
        self.console.print(Text(text, style, overflow="fold"))


def _notes(report: Report, rows: Iterable[LayerReport | facts.Gap]) -> dict[str, int]:
    """Give a number to every remark that stands beside the rows shown, the network's included."""
    reasons = [facts.remark(row) for row in rows if isinstance(row, LayerReport)]
    if report.settings.topology:
        reasons.append(report.network.neural_persistence.reason or "")
    return {reason: i for i, reason in enumerate(dict.fromkeys(filter(None, reasons)), start=1)}
