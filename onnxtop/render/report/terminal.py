"""The report for people: a page a model, and before many of them a table of all."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from onnxtop.render import RenderOptions
from onnxtop.render.names import shortened
from onnxtop.render.page import Page
from onnxtop.render.report import facts
from onnxtop.render.report.layers import STYLES, LayerTable
from onnxtop.render.report.models import AllModels
from onnxtop.render.text import humanised
from onnxtop.results.headline import headline_of, worst_first
from onnxtop.results.outcome import FailedModel, Result
from onnxtop.results.report import Finding, LayerReport, Report
from onnxtop.results.words import counted, severities

_PAGES = 3
"""So many models have a page of their own beneath the table of all, the worst; ``all_rows`` gives all."""

_OF_A_RULE = 3
"""So many findings of a rule are listed."""

_BESIDE = 39
"""Cells of a line that says what to do next beside the name of a model: the command, and words on it."""

_PORTS = 4
"""So many inputs, and outputs, are listed."""


def render(results: Sequence[Result], options: RenderOptions) -> str:
    """Draw a page a model, ``options.width`` cells wide; before those of several stands a table of all.

    A page that grows is that table.
    """
    first: list[str] = []
    if options.height is not None:
        return AllModels(options).draw(results) + "\n"  # a line for progress
    if len(results) > 1:
        first = [AllModels(options).draw(results)]
        results = worst_first(results, options.fail_on)
    pages = [each for each in results if options.failed or not isinstance(each, FailedModel)]
    shown = pages if options.whole or not first else pages[:_PAGES]
    drawn = [ReportPage(options, alone=not first) for _ in shown]
    texts = [page.draw(each) for page, each in zip(drawn, shown, strict=True)]
    end = _End(options).draw(results, drawn, len(pages) - len(shown))
    return "\n".join(filter(None, (*first, *texts, *end)))


class ReportPage(Page):
    """One model on one page: what to think of it first, how it was measured last."""

    def __init__(self, options: RenderOptions, *, alone: bool = True) -> None:
        super().__init__(options)
        self.columns, self.fail_on, self.alone = options.columns, options.fail_on, alone
        self.meanings: Sequence[tuple[str, str]] = ()

    def draw(self, result: Result) -> str:
        """Return the finished page."""
        self.headline(headline_of(result, self.fail_on))
        if isinstance(result, FailedModel):
            self._labelled([("model", result.path)])
        else:
            self._report(result)
        return self.finished()

    def _report(self, report: Report) -> None:
        self._facts(report)
        self._findings(report)
        self._skipped(report)
        if report.layers:
            self.line()
            self._layers(report)
        self._network(report)
        self._settings(report)

    def _labelled(self, rows: Sequence[tuple[str, str]], style: str = "") -> None:
        self.labelled([(label, text, "dim") for label, text in rows], style)

    def _facts(self, report: Report) -> None:
        ports = facts.ports(report)
        sides = [[port for port in ports if port[0] == side] for side in ("input", "output")]
        size = facts.size(report)
        if report.settings.layers is None and report.layers:
            size = [counted(len(report.layers), "layer"), *size]
        stored = facts.encodings(report)
        self._labelled(
            [
                ("model", report.model.path),
                *(port for side in sides for port in self._ports(side)),
                ("size", ", ".join(size)),
                ("read", ", ".join(filter(None, (facts.analysed(report.coverage), stored)))),
            ]
        )

    def _ports(self, ports: Sequence[tuple[str, str]]) -> Iterator[tuple[str, str]]:
        shown = ports if self.all_rows or len(ports) <= _PORTS else ports[: _PORTS - 1]
        yield from shown
        if len(shown) < len(ports):
            yield ports[0][0], f"and {len(ports) - len(shown):,} more; --all lists every one"

    def _layers(self, report: Report) -> None:
        rows = facts.chosen_rows(report, self.all_rows)
        notes = _notes(report, rows)
        layers = LayerTable(report, notes, self.columns, self.signs, self.width)
        self.lines(layers.lines(rows))
        if left_out := layers.left_out():
            self.paragraph(f"left out, since the page is too narrow: {', '.join(left_out)}", "yellow")
        if note := facts.rows_note(report, rows):
            self.paragraph(note, "dim")
        self.listed([(f"[{index}]", reason, "yellow") for reason, index in notes.items()])
        self.meanings = layers.meanings()
        if self.meanings and self.alone:
            self.line()
            self.small_print(self.meanings)

    def _network(self, report: Report) -> None:
        lines = facts.loss(report)
        if report.settings.topology and report.coverage.parameters_analysed:
            deep, *shares = facts.deep_graph(report)
            lines = [f"deep graph persistence {deep}", *shares, *lines]
        if lines:
            self.line()
        for line in lines:
            self.paragraph(line)

    def _settings(self, report: Report) -> None:
        """Tell in small print what the figures depend on, and what was not asked."""
        apart, unchecked = facts.apart(report.coverage), facts.unchecked([report])
        measured = report.settings.topology and report.layers
        rows = [
            ("made by", self.signs.dot.join(facts.made_by(report))),
            ("apart", ", ".join(apart)),
            ("network", "; ".join(facts.whole(report)) if measured else ""),
            ("settings", ", ".join(facts.settings(report)) if measured else ""),
            ("rules", "; ".join(unchecked)),
        ]
        self.line()
        self.small_print([(label, text) for label, text in rows if text])

    def small_print(self, rows: Sequence[tuple[str, str]]) -> None:
        """Draw sentences behind their labels, all of it dim."""
        self._labelled(rows, "dim")

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
        many = f"{group.tensors:,} {self.signs.times} {group.op_type}"
        return many, f"{group.reason} ({humanised(group.parameters)})", ""

    def _findings(self, report: Report) -> None:
        if report.findings:
            self.line()
            self.line(f"findings: {severities(report.findings)}", "bold")
            self.findings(facts.by_severity(report.findings))

    def findings(self, findings: Sequence[Finding]) -> None:
        """List findings in their order; of a rule that found many only the first."""
        names = list({each.layer: None for each in findings if each.layer is not None})
        room = max(self.width // 2, 32)
        shown = dict(zip(names, shortened(names, room, self.signs.ellipsis), strict=True))
        short = [replace(each, layer=None if each.layer is None else shown[each.layer]) for each in findings]
        rows = []
        for alike in _by_rule(short):
            some = alike if self.all_rows or len(alike) <= _OF_A_RULE + 1 else alike[:_OF_A_RULE]
            rows += [self._finding(each) for each in some]
            if more := len(alike) - len(some):
                rows.append((alike[0].rule, f"and {more:,} more like this; --all lists every one", "dim"))
        self.labelled(rows)

    def _finding(self, finding: Finding) -> tuple[str, str, str]:
        where = "" if finding.layer is None else f"{finding.layer}: "
        label = f"{finding.severity} {finding.rule}{' known' if finding.known else ''}"
        return label, f"{where}{finding.message}", STYLES[finding.severity]


class _End(Page):
    """What stands beneath all pages."""

    def draw(self, results: Sequence[Result], pages: Sequence[ReportPage], left_out: int) -> Iterator[str]:
        """Yield whether that is all, what columns mean that pages did not tell, and what to do next."""
        told = dict(each for page in pages if not page.alone for each in page.meanings)
        self.labelled([(title, meaning, "dim") for title, meaning in told.items()], "dim")
        if told:
            yield self.finished()
        if left_out:
            self.line(f"pages of {counted(left_out, 'more model')} left out: --all shows every one", "dim")
        if missed := facts.incomplete(results):
            self.line(missed, "bold red")
        yield self.finished()
        steps = facts.next_steps(results, self.width - _BESIDE)
        self.labelled([(command, what, "") for command, what in steps])
        yield self.finished()


def _by_rule(findings: Iterable[Finding]) -> list[list[Finding]]:
    """Put findings of one kind together, the kinds in the order of their first."""
    kinds: dict[tuple[str, str, bool], list[Finding]] = {}
    for each in findings:
        kinds.setdefault((each.severity, each.rule, each.known), []).append(each)
    return list(kinds.values())


def _notes(report: Report, rows: Iterable[LayerReport | facts.Gap]) -> dict[str, int]:
    """Give a number to every remark that stands beside the rows shown, the network's included."""
    reasons = [facts.remark(row) for row in rows if isinstance(row, LayerReport)]
    if report.settings.topology:
        reasons.append(report.network.neural_persistence.reason or "")
    return {reason: i for i, reason in enumerate(dict.fromkeys(filter(None, reasons)), start=1)}
