"""The layer graph drawn: nothing runs through a node, names are text, a graph has one picture."""

import functools
import re
import xml.etree.ElementTree as ET
from itertools import combinations, pairwise, product

import pytest

from onnxtop.render import render
from onnxtop.render.graph.columns import _apart
from onnxtop.render.graph.crossings import inversions
from onnxtop.render.graph.labels import box, short_names
from onnxtop.render.graph.layout import layout
from onnxtop.render.graph.svg import drawing, shade
from onnxtop.render.text import visible
from onnxtop.results.graph import GraphNode, LayerGraph
from tests.render.test_graph import HOSTILE, hostile_picture, sample

SVG = "{http://www.w3.org/2000/svg}"


def chained(count):
    return list(pairwise(range(count)))


def residual(blocks):
    """Return blocks of two nodes and a join, which also takes what entered them."""
    return [
        edge
        for first in range(0, 3 * blocks, 3)
        for edge in ((first, first + 1), (first + 1, first + 2), (first + 2, first + 3), (first, first + 3))
    ]


def ladder(count):
    """Return a chain down and up again, each rung joined with its mirror image."""
    return chained(2 * count) + [(rung, 2 * count - 1 - rung) for rung in range(count - 1)]


def star(count):
    """Return many inputs, each with a node of its own, which all feed one."""
    return [edge for arm in range(count) for edge in ((arm, count + arm), (count + arm, 2 * count))]


GRAPHS = {
    "one node": (1, []),
    "a loop": (1, [(0, 0)]),
    "a chain": (5, chained(5)),
    "a long chain": (120, chained(120)),
    "blocks": (13, residual(4)),
    "a residual network": (121, residual(40)),
    "a ladder": (24, ladder(12)),
    "a long ladder": (120, ladder(60)),
    "a star": (121, star(60)),
    "all to all": (12, list(combinations(range(12), 2))),
    "a cycle": (9, [*chained(9), (8, 0), (5, 3), (4, 4)]),
    "all to all and back": (6, list(product(range(6), repeat=2))),
    "parts": (40, [(number, number + 10) for number in range(30)]),
    "no edges": (50, []),
    "one feeds all": (80, chained(80) + [(0, number) for number in range(2, 80, 3)]),
    "all feed one": (80, chained(80) + [(number, 79) for number in range(0, 78, 3)]),
}
VERY_LONG = {"a very long chain": (2000, chained(2000))}


@functools.cache
def placed(name):
    """Lay out nodes of different sizes, some of them dots."""
    count, edges = (GRAPHS | VERY_LONG)[name]
    sizes = {
        f"n{n}": (12.0, 12.0) if n % 4 == 3 else (90.0 + 9 * (n % 7), 36.0 + n % 3) for n in range(count)
    }
    return sizes, layout(sizes, [(f"n{tail}", f"n{head}") for tail, head in edges])


def corners(centre, size, less=0.0):
    (x, y), (width, height) = centre, size
    return x - width / 2 + less, y - height / 2 + less, x + width / 2 - less, y + height / 2 - less


def points(way):
    """Yield many points of a way, of its bends as well."""
    for (x, y), (to, end) in pairwise(way):
        for step in range(13):
            part = step / 12
            bent = part if x == to or y == end else 3 * part**2 - 2 * part**3
            down = (
                part
                if x == to or y == end
                else (1.5 * part * (1 - part) + part**3 + 1.5 * part**2 * (1 - part))
            )
            yield x + (to - x) * bent, y + (end - y) * down


@pytest.mark.parametrize("name", GRAPHS)
def test_nothing_runs_through_a_node(name):
    sizes, drawn = placed(name)
    inner = {key: corners(drawn.centres[key], sizes[key], 0.5) for key in sizes}
    assert set(drawn.ways) == {(f"n{tail}", f"n{head}") for tail, head in GRAPHS[name][1] if tail != head}
    for way in drawn.ways.values():
        for x, y in points(way):
            assert not [key for key, (a, b, c, d) in inner.items() if a < x < c and b < y < d]


@pytest.mark.parametrize("name", GRAPHS)
def test_nodes_stand_apart_and_on_the_page(name):
    sizes, drawn = placed(name)
    outer = [corners(drawn.centres[key], sizes[key]) for key in sizes]
    for (a, b, c, d), (e, f, g, h) in combinations(outer, 2):
        assert c < e or g < a or d < f or h < b
    everything = [*outer, *((x, y, x, y) for way in drawn.ways.values() for x, y in points(way))]
    assert min(min(left, top) for left, top, _, _ in everything) > -0.01
    assert max(right for _, _, right, _ in everything) < drawn.width + 0.01
    assert max(bottom for _, _, _, bottom in everything) < drawn.height + 0.01


@pytest.mark.parametrize("name", GRAPHS)
def test_ways_lead_from_the_tail_to_the_head(name):
    sizes, drawn = placed(name)
    for (tail, head), way in drawn.ways.items():
        for key, (x, y) in ((tail, way[0]), (head, way[-1])):
            left, top, right, bottom = corners(drawn.centres[key], sizes[key])
            assert left < x < right
            assert min(abs(y - top), abs(y - bottom)) < 0.01
        if int(tail[1:]) < int(head[1:]):
            assert way[-1][1] < drawn.centres[head][1], "from above"


def test_a_chain_is_straight_and_a_long_one_folded():
    _, short = placed("a chain")
    assert len({x for x, _ in short.centres.values()}) == 1
    for name in ("a long chain", "a very long chain"):
        _, long = placed(name)
        assert 0.8 < long.width / long.height < 2.5


def test_a_residual_network_has_a_straight_middle():
    _, drawn = placed("blocks")
    assert len({x for x, _ in drawn.centres.values()}) == 1


def test_the_pictures_of_a_row_do_not_cross_more_than_they_must():
    sizes = dict.fromkeys("abcdefgh", (50.0, 20.0))
    edges = [("a", "h"), ("b", "g"), ("c", "f"), ("d", "e")]
    joined = [("a", "b"), ("b", "c"), ("c", "d")]
    drawn = layout({"s": (50.0, 20.0), **sizes}, [*(("s", name) for name in "abcd"), *edges])
    tails, heads = ([drawn.centres[edge[end]][0] for edge in edges] for end in (0, 1))
    assert sorted(tails) == [tail for _, tail in sorted(zip(heads, tails, strict=True))]
    assert layout(sizes, [*joined, *edges]) == layout(sizes, [*joined, *edges])


@pytest.mark.parametrize("values", [[], [3], [3, 1, 2], [1, 1, 0, 0], [5, 4, 3, 2, 1, 0]])
def test_inversions(values):
    assert inversions(values) == sum(a > b for a, b in combinations(values, 2))


def test_what_is_wanted_is_kept_apart():
    assert _apart([0.0, 10.0], [1.0, 1.0], [0.0, 4.0]) == [0.0, 10.0]
    assert _apart([0.0, 0.0, 0.0], [1.0, 1.0, 1.0], [0.0, 4.0, 8.0]) == [-4.0, 0.0, 4.0]
    assert _apart([0.0, 0.0], [3.0, 1.0], [0.0, 4.0]) == [-1.0, 3.0]


# As SVG


def nodes_of(text):
    return [each for each in ET.fromstring(text).iter(f"{SVG}g") if "node" in each.get("class", "").split()]


def test_every_node_and_edge_of_a_model_is_drawn_once():
    for name in ("mlp_torch_dynamo", "transformer_torch_legacy", "lstm_torch_dynamo"):
        graph = sample(name)
        text = drawing(graph)
        drawn = nodes_of(text)
        assert sorted(each.get("data-key") for each in drawn) == sorted(graph.nodes)
        assert all(each.get("tabindex") == "0" for each in drawn)
        keys = list(graph.nodes)
        ends = [
            (keys[int(tail)], keys[int(head)])
            for path in ET.fromstring(text).iter(f"{SVG}path")
            for tail in path.get("data-from").split()
            for head in path.get("data-to").split()
        ]
        assert set(ends) == set(graph.edges)


def test_gates_share_a_frame_and_the_way_back_is_dashed():
    root = ET.fromstring(drawing(sample("lstm_torch_dynamo")))
    frames = [each for each in root.iter(f"{SVG}g") if each.get("class", "").startswith("group")]
    cells = [
        [own.findtext(f"{SVG}text") for own in frame.iter(f"{SVG}g") if own is not frame] for frame in frames
    ]
    assert cells == [["i", "o", "f", "c"], ["i", "o", "f", "c"]]
    (back,) = (path for path in root.iter(f"{SVG}path") if path.get("class") == "edge back")
    assert back.get("data-from") == back.get("data-to")
    assert back.get("stroke-dasharray")


def test_a_title_says_what_a_node_is():
    (layer,) = (
        each
        for each in nodes_of(drawing(sample("mlp_torch_dynamo")))
        if each.get("data-key") == "layer:hidden1"
    )
    assert layer.findtext(f"{SVG}title") == "hidden1\nGemm 64 \N{MULTIPLICATION SIGN} 100\n6,400 parameters"
    assert [each.text for each in layer.iter(f"{SVG}text")] == [
        "hidden1",
        "Gemm 64 \N{MULTIPLICATION SIGN} 100",
    ]


def test_what_is_cut_off_is_dashed(tmp_path):
    drawn = nodes_of(drawing(hostile_picture(tmp_path)))
    cut_off = [each for each in drawn if each.find("*[@class='shape']").get("stroke-dasharray")]
    assert len(cut_off) == 3
    assert all("cut-off" in each.get("class") for each in cut_off)


def test_names_are_text(tmp_path):
    """Nothing in a name is markup, a script or a style; there are no ids that may clash with others."""
    graph = hostile_picture(tmp_path)
    for text in (drawing(graph), render("graph", "svg", graph)):
        root = ET.fromstring(text)
        assert {each.tag.removeprefix(SVG) for each in root.iter()} <= {
            "svg",
            "title",
            "g",
            "rect",
            "circle",
            "path",
            "text",
        }
        attributes = {name for each in root.iter() for name in each.attrib}
        assert not [name for name in attributes if name.startswith("on") or name in ("style", "id", "href")]
        titles = [each.findtext(f"{SVG}title").split("\n")[0] for each in nodes_of(text)]
        assert set(titles) == {visible(node.name) for node in graph.nodes.values()}
        assert {visible(name) for name in HOSTILE} < set(titles)


def test_shades_colour_nodes_and_leave_words_readable():
    graph = sample("mlp_torch_dynamo")
    drawn = {
        each.get("data-key"): each
        for each in nodes_of(drawing(graph, {"layer:hidden1": 0.0, "layer:output": 1.0}))
    }
    looks = {
        key: (each.find("*[@class='shape']").get("fill"), each.find(f"{SVG}text").get("fill"))
        for key, each in drawn.items()
    }
    assert looks["layer:hidden1"] == shade(0.0)
    assert looks["layer:output"] == shade(1.0)
    assert looks["layer:hidden2"][1] == "currentColor"


@pytest.mark.parametrize("value", [-1.0, 0.0, 0.2, 0.4, 0.5, 0.6, 0.8, 1.0, 2.0])
def test_words_on_a_shade_have_contrast(value):
    """At least 4.5 to 1, as the Web Content Accessibility Guidelines want it."""
    light = []
    for colour in shade(value):
        parts = [part / 255 for part in bytes.fromhex(colour[1:])]
        linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        light.append(
            sum(part * weight for part, weight in zip(linear, (0.2126, 0.7152, 0.0722), strict=True))
        )
    assert (max(light) + 0.05) / (min(light) + 0.05) >= 4.5


def model_graph(*names):
    nodes = {f"layer:{name}": GraphNode("layer", name, "MatMul", 8, 8, 64, 8) for name in names}
    return LayerGraph("m", "exact", (), nodes, tuple(pairwise(nodes)))


def test_long_names_stay_in_their_boxes_and_are_told_apart():
    names = [f"/model/layers.{number}/attention/{'deep/' * 50}query_projection/MatMul" for number in (1, 2)]
    graph = model_graph(*names, "層" * 300, "🤖" * 300, "\u202e" * 300)
    short = short_names(graph)
    labels = [box([key], graph.nodes, short, looped=False) for key in graph.nodes]
    assert all(each.width < 220 and len(each.lines) <= 3 for each in labels)
    assert labels[0].lines != labels[1].lines
    assert drawing(graph) == drawing(graph)
    assert [each.findtext(f"{SVG}title").split("\n")[0] for each in nodes_of(drawing(graph))][:2] == names


def test_a_long_note_and_many_of_them_leave_the_head_short():
    graph = model_graph("a", "b")
    noted = LayerGraph(
        "m" * 500, "exact", tuple(f"note {n} {'long ' * 90}" for n in range(30)), graph.nodes, graph.edges
    )
    text = render("graph", "svg", noted)
    assert int(re.search(r' width="(\d+)"', text)[1]) < 1300
    assert "24 more notes: -f text" in text
    assert text.count(">note ") == 6
