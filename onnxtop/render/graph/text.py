"""The layer graph as a listing: one node a line in the order of the flow, with what it feeds."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from rich.cells import cell_len

from onnxtop.render import RenderOptions
from onnxtop.render.cells import ASCII, UNICODE, Signs, elide
from onnxtop.render.graph.words import counts, groups, what
from onnxtop.render.page import widths_of
from onnxtop.render.text import TIMES
from onnxtop.results.graph import LayerGraph

_MANY = 4
"""So many nodes that differ by a number alone (the experts of a layer) share an entry."""

_NAME = 28
"""Longer names than this do not stand in a column: what they feed is told in lines of its own."""


def render(graph: LayerGraph, options: RenderOptions) -> str:
    """Draw the listing, ``options.width`` cells wide; an arrow back, in a cycle, is marked with a star."""
    signs = UNICODE if options.unicode else ASCII
    page = _Page(graph, signs, widths_of(options)[0])
    return "".join(f"{line.rstrip()}\n" for line in page.lines())


class _Page:
    """One graph on one page."""

    def __init__(self, graph: LayerGraph, signs: Signs, width: int) -> None:
        self.graph, self.signs, self.width = graph, signs, width
        self.arrow = "-> " if signs.ascii_only else "→ "
        self.names = {key: signs.shown(node.name) or '""' for key, node in graph.nodes.items()}
        self.first: dict[str, str] = {}
        for run in groups(graph, lambda node: _stem(node.name), _MANY):
            self.first.update(dict.fromkeys(run, run[0]))
            if len(run) > 1:
                number = self.names[run[-1]][len(_stem(self.names[run[-1]])) :]
                self.names[run[0]] += f"{signs.ellipsis}{number} ({len(run)})"
        self.whats = {
            key: signs.shown(what(node).replace(TIMES, signs.times)) for key, node in graph.nodes.items()
        }
        self.back = graph.back
        self.targets: dict[str, list[str]] = defaultdict(list)
        for tail, head in graph.edges:
            if self.first[tail] == tail and self.first[head] == head:
                self.targets[tail].append(self.names[head] + ("*" if (tail, head) in self.back else ""))

    def lines(self) -> Iterator[str]:
        """Draw everything."""
        graph, signs = self.graph, self.signs
        yield signs.short(graph.model, self.width)
        for fact in (counts(graph), f"connectivity {graph.connectivity}", *graph.notes):
            yield from self._folded(signs.shown(fact).split(" "), "  ", " ")
        cut_off = [key for key, node in graph.nodes.items() if node.remark and self.first[key] == key]
        flow = [key for key, node in graph.nodes.items() if not node.remark and self.first[key] == key]
        if flow:
            yield from ("", *self._listing(flow))
        if cut_off:
            yield from ("", "on no way from an input to an output:", *self._listing(cut_off))
        drawn = set(flow)
        if any(tail in drawn and head in drawn for tail, head in self.back):
            yield from ("", "* back: a cycle")

    def _listing(self, keys: Sequence[str]) -> Iterator[str]:
        """List some nodes, in columns if their names and what they feed leave room for them."""
        columns = [max(cell_len(texts[key]) for key in keys) for texts in (self.names, self.whats)]
        fed = max((cell_len(name) for key in keys for name in self.targets[key]), default=0)
        narrow = columns[0] <= _NAME and sum(columns) + fed + 9 <= self.width
        for key in keys:
            yield from self._in_columns(key, columns) if narrow else self._in_lines(key)

    def _in_columns(self, key: str, columns: Sequence[int]) -> Iterator[str]:
        name, kind, remark = self.names[key], self.whats[key], self._remark(key)
        head = f"{_filled(name, columns[0])}  {_filled(kind, columns[1])}  "
        if remark:
            yield from self._folded(remark, head, " ")
            head = " " * cell_len(head)
        if self.targets[key]:
            yield from self._folded(self.targets[key], head + self.arrow, ", ")
        elif not remark:
            yield head

    def _in_lines(self, key: str) -> Iterator[str]:
        kind = elide(self.whats[key], self.width // 3, self.signs.ellipsis)
        room = self.width - cell_len(kind) - 2
        yield f"{elide(self.names[key], room, self.signs.ellipsis)}  {kind}"
        if remark := self._remark(key):
            yield from self._folded(remark, "    ", " ")
        if self.targets[key]:
            yield from self._folded(self.targets[key], f"  {self.arrow}", ", ")

    def _remark(self, key: str) -> list[str]:
        remark = self.graph.nodes[key].remark
        return self.signs.shown(remark).split(" ") if remark else []

    def _folded(self, words: Sequence[str], lead: str, separator: str) -> Iterator[str]:
        """Write words one after the other, each line after the first under its beginning."""
        room = self.width - cell_len(lead)
        line = ""
        for number, word in enumerate(words):
            last = number == len(words) - 1
            piece = elide(word, room - len(separator), self.signs.ellipsis) + ("" if last else separator)
            if line and cell_len(line + piece.rstrip()) > room:
                yield lead + line
                lead, line = " " * cell_len(lead), ""
            line += piece
        yield lead + line


def _stem(name: str) -> str:
    return name.rstrip("0123456789")


def _filled(text: str, width: int) -> str:
    return text + " " * (width - cell_len(text))
