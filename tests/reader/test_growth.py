"""A model of twice the size takes twice the steps to load, whatever its parts have to do with one another."""

import cProfile
import pstats
from collections.abc import Callable
from pathlib import Path
from random import Random

import networkx as nx
import pytest
from onnx import ModelProto, NodeProto

from onnxtop.reader.loading import load
from onnxtop.reader.order import Needs, in_order
from tests.models import graph, model, node, save, weights


def _beside(*nodes: NodeProto) -> ModelProto:
    """Return a product beside other nodes."""
    return model([node("MatMul", "x w"), *nodes], {"w": weights(4, 4)}, dict.fromkeys(("x", "t", "c")))


def _states(size: int) -> ModelProto:
    """Return a Loop of many states, which all end with the same long chain of Identities."""
    chain = [node("Identity", f"i{place}", f"i{place + 1}") for place in range(size)]
    states = [f"i{place}" if not place else f"s{place}" for place in range(size)]
    body = graph(chain, {}, dict.fromkeys(["n", "c", *states]), ["c", *[f"i{size}"] * size])
    return _beside(node("Loop", " ".join(["t c", *["x"] * size]), "l", body=body))


def _cycles(size: int) -> ModelProto:
    """Return pairs of nodes that wait for each other, each for the next pair too."""
    nodes = []
    for place in range(size):
        behind = f" a{place + 1:05}" if place + 1 < size else ""
        nodes.append(node("Sum", f"b{place}{behind}", f"a{place:05}"))
        nodes.append(node("Relu", f"a{place:05}", f"b{place}"))
    return _beside(*nodes)


def _one_cycle(size: int) -> ModelProto:
    """Return a cycle whose last node waits for all others."""
    nodes = [node("Relu", f"a{place + 1:05}", f"a{place:05}") for place in range(size)]
    return _beside(*nodes, node("Sum", " ".join(f"a{place:05}" for place in range(size)), f"a{size:05}"))


def _deep(size: int) -> ModelProto:
    """Return bodies in bodies, of which the innermost reads many names from outside."""
    read = [f"x{place}" for place in range(400)]
    inner = graph([node("Sum", " ".join(read), "o")], {}, {}, ["o"])
    for _ in range(size // 100):
        inner = graph([node("If", "c", "o", then_branch=inner)], {}, {}, ["o"])
    return _beside(node("If", "c", "z", then_branch=inner))


GROWING: dict[str, Callable[[int], ModelProto]] = {
    "states": _states,
    "cycles": _cycles,
    "one cycle": _one_cycle,
    "deep": _deep,
}


def _calls(path: Path) -> int:
    profile = cProfile.Profile()
    profile.runcall(load, path)
    return int(pstats.Stats(profile).total_calls)  # type: ignore[attr-defined]  # its stub lacks it


@pytest.mark.parametrize("what", GROWING)
def test_twice_as_large_is_twice_the_work(what: str, tmp_path: Path) -> None:
    small, large = (save(GROWING[what](size), tmp_path, f"{size}.onnx") for size in (600, 1200))
    load(small)  # whatever is loaded or kept once
    assert _calls(large) < 2.5 * _calls(small)


@pytest.mark.parametrize("seed", range(60))
def test_who_reads_too_early_waits_for_itself(seed: int) -> None:
    """In any graph each node comes once, behind all that it reads but what waits for it in turn."""
    rng = Random(seed)
    count = rng.randrange(1, 12)
    reads = [[rng.randrange(count) for _ in range(rng.randrange(3))] for _ in range(count)]
    nodes = [node("Sum", " ".join(f"v{each}" for each in read), f"v{at}") for at, read in enumerate(reads)]
    order = in_order(nodes, {f"v{place}" for place in range(count)}, Needs())
    places = [int(each.output[0][1:]) for each in order]
    assert sorted(places) == list(range(count))
    links = nx.DiGraph([(at, each) for at, read in enumerate(reads) for each in read])
    groups = {at: group for group in nx.strongly_connected_components(links) for at in group}
    for at, read in enumerate(reads):
        assert all(places.index(each) < places.index(at) or each in groups[at] for each in read)
    for group in {min(group): group for group in groups.values()}.values():
        assert len(group) == 1 or min(group, key=places.index) == min(group)
