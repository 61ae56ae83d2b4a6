"""The answer of ``check`` for people: what failed comes first, and the last line sums up."""

from collections.abc import Sequence

from onnxtop.render import FailedModel, RenderOptions, Result, fails
from onnxtop.render.report import facts
from onnxtop.render.report.terminal import ReportPage
from onnxtop.render.text import counted
from onnxtop.results.report import Finding, Report

_PASSED = 12
"""At most so many models that passed without a word are named; ``all_rows`` names all."""


def render(results: Sequence[Result], options: RenderOptions) -> str:
    """List the models, failed ones first, with what was found; notes only with ``all_rows``."""
    return _Verdict(options).draw_all(results)


class _Verdict(ReportPage):
    """All models on one page."""

    def __init__(self, options: RenderOptions) -> None:
        super().__init__(options)
        self.fail_on = options.fail_on

    def draw_all(self, results: Sequence[Result]) -> str:
        """Return the finished page."""
        lost = [result for result in results if isinstance(result, FailedModel)]
        reports = [result for result in results if isinstance(result, Report)]
        failed = [report for report in reports if self._fails(report)]
        passed = [report for report in reports if not self._fails(report)]
        noisy = [report for report in passed if self._shown(report)]
        quiet = [report for report in passed if not self._shown(report)]
        for report in failed:
            self._judged("FAIL", "bold red", report)
        for model in lost:
            self._title("LOST", "bold red", model.path, "not analysed")
            self.paragraph(model.message)
        for report in (*noisy, *(quiet if self.all_rows else quiet[:_PASSED])):
            self._judged("pass", "green", report)
        if len(quiet) > _PASSED and not self.all_rows:
            self.paragraph(f"and {len(quiet) - _PASSED:,} more that pass; --all names every one", "dim")
        counts = ((len(failed), "failed"), (len(lost), "not analysed"), (len(passed), "passed"))
        told = ", ".join(f"{count:,} {what}" for count, what in counts if count)
        self.line(f"{counted(len(results), 'model')}: {told or 'nothing to check'}", "bold")
        return self.finished()

    def _fails(self, report: Report) -> bool:
        return any(fails(finding, self.fail_on) for finding in report.findings)

    def _shown(self, report: Report) -> list[Finding]:
        """Return the findings to list, the worst first; those that are known, and notes, wait for --all."""
        worst = facts.by_severity(report.findings)
        return [each for each in worst if self.all_rows or not (each.known or each.severity == "note")]

    def _judged(self, word: str, style: str, report: Report) -> None:
        new = [finding for finding in report.findings if not finding.known]
        known = len(report.findings) - len(new)
        counts = filter(None, (facts.severities(new), f"{known} known" if known else ""))
        self._title(word, style, report.model.path, ", ".join(counts) or facts.analysed(report.coverage))
        if shown := self._shown(report):
            self.listed([self.finding(each) for each in shown])
        if told := facts.run(report):
            self.paragraph(told, "dim")

    def _title(self, word: str, style: str, path: str, remark: str) -> None:
        room = max(self.width - len(word) - len(remark) - 4, 16)
        self.line(f"{word}  {self.signs.short(path, room)}  {remark}", style)
