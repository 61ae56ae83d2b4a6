"""The answer of ``check`` for people: what failed comes first, and the last line sums up."""

from collections.abc import Mapping, Sequence

from rich.cells import cell_len

from onnxtop.render import RenderOptions
from onnxtop.render.cells import cut
from onnxtop.render.check.verdicts import by_verdict, summed_up
from onnxtop.render.report import facts
from onnxtop.render.report.terminal import ReportPage
from onnxtop.results.headline import headline_of, why_nothing
from onnxtop.results.outcome import FailedModel, Outcome, Result, counts_of, path_of, verdict_of
from onnxtop.results.report import Finding, Report
from onnxtop.results.words import counted

_QUIET = 12
"""At most so many models of a verdict that have nothing to tell are named; ``all_rows`` names all."""

_WORDS: Mapping[Outcome, tuple[str, str]] = {
    Outcome.FAILED: ("FAIL", "bold red"),
    Outcome.INCOMPARABLE: ("FAIL", "bold red"),
    Outcome.NOT_ANALYSED: ("LOST", "bold red"),
    Outcome.INTERRUPTED: ("STOP", "bold red"),
    Outcome.NOTHING: ("none", "yellow"),
    Outcome.NOT_JUDGED: ("read", "yellow"),
    Outcome.PASSED: ("pass", "green"),
}

_MORE = {Outcome.PASSED: "that pass", Outcome.INTERRUPTED: "not done", Outcome.NOTHING: "like this"}


def render(results: Sequence[Result], options: RenderOptions) -> str:
    """List the models, failed ones first, with what was found; notes only with ``all_rows``."""
    return _Answer(options).draw_all(results)


class _Answer(ReportPage):
    """All models on one page; a page on which nothing is cut names all of them, and keeps to what counts."""

    def __init__(self, options: RenderOptions) -> None:
        super().__init__(options)
        self.all_findings = options.all_rows

    def draw_all(self, results: Sequence[Result]) -> str:
        """Return the finished page."""
        judged = by_verdict(results, self.fail_on)
        for verdict in dict.fromkeys(verdict for verdict, _ in judged):
            self._group(verdict, [result for each, result in judged if each is verdict])
        for line in (self._hidden(results), *facts.unchecked(results), facts.incomplete(results)):
            if line:
                self.paragraph(line, "dim")
        self.line(summed_up(results, self.fail_on), "bold")
        return self.finished()

    def _group(self, verdict: Outcome, results: Sequence[Result]) -> None:
        """Draw the models of a verdict, those with something to tell first."""
        noisy = [each for each in results if verdict not in _MORE or self._shown(each)]
        quiet = [each for each in results if each not in noisy]
        for result in (*noisy, *(quiet if self.all_rows else quiet[:_QUIET])):
            self._model(verdict, result)
        if len(quiet) > _QUIET and not self.all_rows:
            more = f"and {len(quiet) - _QUIET:,} more {_MORE[verdict]}; --all names every one"
            self.paragraph(more, "dim")

    def _shown(self, result: Result) -> list[Finding]:
        """Return the findings to list, the worst first; those that are known, and notes, wait for --all."""
        worst = [] if isinstance(result, FailedModel) else facts.by_severity(result.findings)
        return [each for each in worst if self.all_findings or not (each.known or each.severity == "note")]

    def _hidden(self, results: Sequence[Result]) -> str:
        """Say what waits for --all."""
        found = [each for result in results if isinstance(result, Report) for each in result.findings]
        shown = sum(len(self._shown(result)) for result in results)
        kinds = " and ".join(
            each
            for each, some in (
                ("notes", any(each.severity == "note" and not each.known for each in found)),
                ("what is known", any(each.known for each in found)),
            )
            if some
        )
        return f"--all shows {kinds}" if len(found) > shown else ""

    def _model(self, verdict: Outcome, result: Result) -> None:
        word, style = _WORDS[verdict]
        self._title(word, style, path_of(result), _remark(result, self.fail_on))
        if isinstance(result, FailedModel) and verdict is not Outcome.INTERRUPTED:
            self.paragraph(result.message)
        elif isinstance(result, Report) and verdict is Outcome.NOTHING:
            self.paragraph(why_nothing(result))
        if shown := self._shown(result):
            self.findings(shown)
        if isinstance(result, Report) and (told := facts.run(result)):
            self.paragraph(told, "dim")

    def _title(self, word: str, style: str, path: str, remark: str) -> None:
        """Draw a line about a model; where there is no room two thirds of it are the path's."""
        room = self.width - len(word) - 4
        path = self.signs.short(path, max(room - cell_len(remark), 2 * room // 3))
        remark = cut(self.signs.shown(remark), room - cell_len(path), self.signs.ellipsis)
        self.line(f"{word}  {path}  {remark}", style)


def _remark(result: Result, fail_on: str | None) -> str:
    """Say in a few words what is to be thought of a model; why it is not there stands beneath."""
    if isinstance(result, FailedModel) or verdict_of(result, fail_on) is Outcome.NOTHING:
        return verdict_of(result, fail_on)
    counts = counts_of(result)
    told = (
        headline_of(result, fail_on).words,
        counted(counts.notes, "note") if counts.notes else "",
        f"{counts.known} known" if counts.known else "",
    )
    return ", ".join(filter(None, told))
