"""The order in which the nodes of a graph can run, which ONNX demands and some writers do not keep."""

import heapq
from collections.abc import Mapping, Sequence

from onnx import GraphProto, NodeProto

from onnxtop.reader.protos import bodies_in
from onnxtop.reader.search import mutual


class Needs:
    """Tells which names a node reads, those that its bodies read from outside included."""

    def __init__(self) -> None:
        self._free: dict[int, tuple[GraphProto, Sequence[str]]] = {}  # by id

    def of(self, node: NodeProto) -> Sequence[str]:
        """Return the names, each once, in the order in which they are read first."""
        read = dict.fromkeys(node.input)
        for body in bodies_in(node):
            read.update(dict.fromkeys(self._outside(body)))
        return tuple(read)

    def _outside(self, body: GraphProto) -> Sequence[str]:
        """Return the names that a body reads and does not make; each body is gone through once."""
        if id(body) not in self._free:
            own = {value.name for value in body.input} | {tensor.name for tensor in body.initializer}
            own.update(name for inner in body.node for name in inner.output)
            read = dict.fromkeys(name for inner in body.node for name in self.of(inner) if name not in own)
            self._free[id(body)] = body, tuple(read)
        return self._free[id(body)][1]


def in_order(nodes: list[NodeProto], produced: set[str], needs: Needs) -> list[NodeProto]:
    """Return the nodes in the order in which they can run, in file order where that leaves a choice.

    Where nodes wait for one another, and for
    nobody else, they go in file order; what one of them reads too early is a value that nobody makes.
    """
    ready: set[str] = set()
    for node in nodes:
        if any(name in produced and name not in ready for name in needs.of(node)):
            break
        ready.update(node.output)
    else:
        return nodes
    waiting = {
        index: {name for name in needs.of(node) if name in produced} for index, node in enumerate(nodes)
    }
    makers = {name: index for index, node in enumerate(nodes) for name in node.output}
    readers: dict[str, list[int]] = {}
    for index, names in waiting.items():
        for name in names:
            readers.setdefault(name, []).append(index)
    heap = [index for index, names in waiting.items() if not names]
    cycles: _Cycles | None = None
    order: list[int] = []
    while waiting:
        if not heap and cycles is None:
            cycles = _Cycles(waiting, makers)
        index = heapq.heappop(heap) if heap or cycles is None else cycles.first()
        if waiting.pop(index, None) is None:
            continue
        order.append(index)
        for name in nodes[index].output:
            for reader in readers.pop(name, ()):
                if reader in waiting:
                    waiting[reader].discard(name)
                    if cycles is not None:
                        cycles.made(reader, makers[name])
                    if not waiting[reader]:
                        heapq.heappush(heap, reader)
    return [nodes[index] for index in order]


class _Cycles:
    """Which nodes wait for one another, directly or not: found once, when nothing else is left."""

    def __init__(self, waiting: Mapping[int, set[str]], makers: Mapping[str, int]) -> None:
        self._groups = mutual({index: [makers[name] for name in names] for index, names in waiting.items()})
        self._members: dict[int, list[int]] = {}
        for index, group in self._groups.items():
            self._members.setdefault(group, []).append(index)
        self._outside = dict.fromkeys(self._members, 0)
        for index, names in waiting.items():
            for name in names:
                self._outside[self._groups[index]] += self._groups[makers[name]] != self._groups[index]
        free = [members for group, members in self._members.items() if not self._outside[group]]
        self._heap = [index for members in free for index in members]
        heapq.heapify(self._heap)

    def made(self, reader: int, maker: int) -> None:
        """Note that a node need not wait any more for what another makes."""
        group = self._groups[reader]
        if self._groups.get(maker) not in (None, group):
            self._outside[group] -= 1
            if not self._outside[group]:
                for index in self._members[group]:
                    heapq.heappush(self._heap, index)

    def first(self) -> int:
        """Return the first node, in file order, of those that wait for one another alone."""
        return heapq.heappop(self._heap)
