"""The layer graph in every format; run as a script, this writes the files in ``golden_graph`` anew."""

import html
import json
import re
import tempfile
from itertools import pairwise
from pathlib import Path

import networkx as nx
import pytest
from rich.cells import cell_len

from onnxtop.auditing.layer_graph import describe
from onnxtop.errors import UsageError
from onnxtop.reader.connectivity import connect
from onnxtop.reader.constants import Constants
from onnxtop.reader.layers import find_layers
from onnxtop.reader.loading import load
from onnxtop.render import RENDERERS, RenderOptions, render, suffixes
from onnxtop.render.graph.words import counts
from onnxtop.render.text import TIMES, visible
from tests.models import model, node, save, weights

ROOT = Path(__file__).parents[2]
GOLDEN = Path(__file__).parent / "golden_graph"

HOSTILE = (
    '"]; n0 -> n1; x [label="',
    "back\\",
    "\\N\\G &lt;b&gt; &",
    "<script>alert(1)</script>",
    "\x1b[31mescape\x1b[0m",
    "two\nlines",
    "\u202egnp.exe",
    "`**md**`",
    "end",
    "层" * 40,
    "#quot; --> ]]",
)


def picture_of(path, title=None, **options):
    loaded = load(str(path))
    constants = Constants(loaded)
    layers = find_layers(loaded, constants)
    return describe(title or path.name, connect(loaded, constants, layers, **options), layers)


def sample(name, **options):
    return picture_of(ROOT / "sample_models" / f"{name}.onnx", **options)


def chain(names, folder):
    """Return a model whose layers have these names, one after the other, and two that can be cut off."""
    values = ["x", *(f"v{number}" for number in range(len(names)))]
    nodes = [
        node("MatMul", f"{a} w{number}", b, name=name)
        for number, (name, (a, b)) in enumerate(zip(names, pairwise(values), strict=True))
    ]
    nodes += [
        node("MatMul", "x u", "lost", name="lost"),
        node("MatMul", "z k", "late", name=f"late {names[0]}"),
    ]
    nodes += [node("Add", f"{values[-1]} late", "y", name="sum")]
    held = {f"w{number}": weights(3, 3, seed=number) for number in range(len(names))}
    cut_off = {"u": weights(3, 2), "k": weights(1, 3)}
    return save(model(nodes, held | cut_off, {"x": [1, 3], "z": [1, 1]}), folder)


def hostile_picture(folder):
    return picture_of(chain(HOSTILE, folder), HOSTILE[0], inputs=["x"])


def render_golden(folder):
    transformer, hostile = sample("transformer_torch_legacy"), hostile_picture(folder)
    pictures = {
        "mlp.txt": sample("mlp_torch_dynamo"),
        "mlp.json": sample("mlp_torch_dynamo"),
        "cnn.txt": sample("cnn_torch_dynamo"),
        "cnn.dot": sample("cnn_torch_dynamo"),
        "lstm.txt": sample("lstm_torch_dynamo"),
        "lstm.svg": sample("lstm_torch_dynamo"),
        "transformer.txt": transformer,
        "transformer.dot": transformer,
        "transformer.mmd": transformer,
        **{f"hostile{suffix}": hostile for suffix in (".txt", ".dot", ".mmd", ".json", ".svg")},
    }
    return {
        name: render("graph", suffixes("graph")[Path(name).suffix], picture)
        for name, picture in pictures.items()
    }


@pytest.fixture
def hostile(tmp_path):
    return hostile_picture(tmp_path)


def test_every_golden_file_is_rendered_as_it_stands(tmp_path):
    rendered = render_golden(tmp_path)
    assert {path.name for path in GOLDEN.iterdir()} == set(rendered)
    for name, text in rendered.items():
        assert text == (GOLDEN / name).read_bytes().decode(), name


# What a picture shows


def test_a_picture_of_the_mlp():
    picture = sample("mlp_torch_dynamo")
    assert counts(picture) == "3 layers, 1 input, 1 output"
    assert picture.connectivity == "exact"
    keys = ["input:x", "layer:hidden1", "layer:hidden2", "layer:output", "output:logits"]
    assert list(picture.nodes) == keys
    assert picture.edges == tuple(pairwise(keys))
    item = picture.nodes["layer:hidden1"]
    assert (item.op_type, item.n_in, item.n_out, item.parameters, item.neurons) == (
        "Gemm",
        64,
        100,
        6400,
        100,
    )
    assert picture.nodes["input:x"].neurons == 64
    assert picture.nodes["output:logits"].neurons == 10


def test_recurrence_is_an_edge_back():
    picture = sample("lstm_torch_dynamo")
    assert ("layer:lstm.R.i", "layer:lstm.R.i") in picture.back
    assert ("layer:lstm.R.o", "layer:lstm.R.i") in picture.back
    assert len(picture.back) == 10
    place = {key: number for number, key in enumerate(picture.nodes)}
    assert all(place[a] < place[b] for a, b in picture.edges if (a, b) not in picture.back)


def test_what_is_cut_off_is_marked(hostile):
    remarks = {item.name: item.remark for item in hostile.nodes.values() if item.remark}
    late = f"late {HOSTILE[0]}"
    assert remarks == {
        "lost": "reaches no output",
        late: "no input reaches it",
        "z": "not taken as an input",
    }


def test_a_part_of_a_network():
    picture = sample("mlp_torch_dynamo", outputs=["relu"])
    assert {"input:x", "layer:hidden1", "output:relu"} < set(picture.nodes)
    assert "output:logits" not in picture.nodes
    assert [item.name for item in picture.nodes.values() if item.remark] == ["hidden2", "output"]


def test_a_skipped_layer_stands_with_its_reason(tmp_path):
    nodes = [node("MatMul", "x w", "v"), node("nobody.Knows", "v q", "y", name="odd")]
    path = save(model(nodes, {"w": weights(3, 3), "q": weights(3, 4)}, {"x": [1, 3]}), tmp_path)
    picture = picture_of(path)
    (skipped,) = (item for item in picture.nodes.values() if item.kind == "skipped")
    assert skipped.remark
    assert picture.connectivity.startswith("conservative (nobody.Knows odd")
    assert "hub" in counts(picture)
    assert "skipped layer" in counts(picture)


# Every format


def test_an_unknown_format():
    with pytest.raises(UsageError, match="yaml"):
        render("graph", "yaml", sample("mlp_torch_dynamo"))


@pytest.mark.parametrize("name", RENDERERS["graph"])
def test_the_same_text_again(tmp_path, name):
    first, second = (render("graph", name, hostile_picture(tmp_path)) for _ in range(2))
    assert first == second


@pytest.mark.parametrize("name", RENDERERS["graph"])
def test_nothing_in_a_name_reaches_a_terminal(hostile, name):
    assert render("graph", name, hostile).replace("\n", "").isprintable()


def test_json_is_what_networkx_reads(hostile):
    data = json.loads(render("graph", "json", hostile))
    graph = nx.node_link_graph(data, edges="edges")
    assert list(graph) == list(hostile.nodes)
    assert list(graph.edges) == list(hostile.edges)
    assert [attributes["name"] for _, attributes in graph.nodes(data=True)] == [
        item.name for item in hostile.nodes.values()
    ]


def test_graphml_is_what_networkx_reads(hostile, tmp_path):
    path = tmp_path / "net.graphml"
    path.write_text(render("graph", "graphml", hostile), encoding="utf-8")
    graph = nx.read_graphml(path)
    ids = {key: f"n{number}" for number, key in enumerate(hostile.nodes)}
    assert graph.is_directed()
    assert list(graph) == list(ids.values())
    assert set(graph.edges) == {(ids[a], ids[b]) for a, b in hostile.edges}
    for key, item in hostile.nodes.items():
        assert graph.nodes[ids[key]]["name"] == visible(item.name)
        assert graph.nodes[ids[key]].get("n_in") == item.n_in
        assert graph.nodes[ids[key]].get("remark") == item.remark


QUOTED = r'"((?:[^"\\\n]|\\["\\n])*)"'
DOT = re.compile(
    rf"digraph layers \{{\n  label={QUOTED};\n  node \[shape=box\];\n"
    rf"(?:  n\d+ \[label={QUOTED}(?:, shape=\w+)?(?:, style=dashed)?\];\n)*(?:  n\d+ -> n\d+;\n)*\}}\n"
)


def first_line(label):
    r"""Return what Graphviz shows of a label before the first ``\n``."""
    tokens = re.findall(r"\\.|[^\\]", label)
    shown = "".join(token[-1] for token in tokens[: tokens.index(r"\n")])
    return html.unescape(shown)


def test_dot_keeps_to_its_grammar(hostile):
    """Tokens as in Graphviz's scanner: a quote ends a string unless a backslash stands before it."""
    text = render("graph", "dot", hostile)
    assert DOT.fullmatch(text)
    labels = re.findall(rf"^  n\d+ \[label={QUOTED}", text, re.MULTILINE)
    assert [first_line(label) for label in labels] == [visible(item.name) for item in hostile.nodes.values()]
    ids = {key: f"n{number}" for number, key in enumerate(hostile.nodes)}
    assert re.findall(r"^  (n\d+) -> (n\d+);$", text, re.MULTILINE) == [
        (ids[a], ids[b]) for a, b in hostile.edges
    ]
    assert text.count("style=dashed") == 3


LABEL = rf'"((?:[^\W_]|[ .,:/_{TIMES}-]|#\d+;|<br/>)*)"'
MERMAID = re.compile(
    rf"flowchart TD\n(?:  n\d+(?:\[{LABEL}\]|\(\[{LABEL}\]\)|\(\({LABEL}\)\)|\{{\{{{LABEL}\}}\}})\n)+"
    r"(?:  n\d+ --> n\d+\n)*(?:  classDef cutOff stroke-dasharray: 4 4\n  class n\d+(?:,n\d+)* cutOff\n)?"
)


def test_mermaid_keeps_to_its_grammar(hostile):
    text = render("graph", "mermaid", hostile)
    assert MERMAID.fullmatch(text)
    names = [label.split("<br/>")[0] for label in re.findall(LABEL, text)]
    plain = [re.sub(r"#(\d+);", lambda match: chr(int(match[1])), name) for name in names]
    assert plain == [visible(item.name) for item in hostile.nodes.values()]
    assert MERMAID.fullmatch(render("graph", "mermaid", sample("transformer_torch_dynamo")))


@pytest.mark.parametrize("unicode", [False, True])
@pytest.mark.parametrize("width", [1, 40, 57, 80, 200])
def test_a_listing_never_reaches_beyond_the_page(hostile, width, unicode):
    for picture in (hostile, sample("lstm_torch_dynamo")):
        text = render("graph", "text", picture, RenderOptions(width=width, unicode=unicode))
        assert max(map(cell_len, text.splitlines())) <= max(width, 40)
        assert text.isascii() or unicode


def test_every_edge_is_in_the_listing():
    picture = sample("transformer_torch_dynamo")
    text = re.sub(r",\n +", ", ", render("graph", "text", picture))
    for line in text.splitlines():
        if "→" in line:
            name, targets = line.split()[0], line.split("→ ")[1].split(", ")
            assert targets == [
                picture.nodes[b].name for a, b in picture.edges if picture.nodes[a].name == name
            ]
    assert len(re.findall("→|, (?=[bn])", text)) == len(picture.edges)


def experts(count, folder):
    table = model(
        [
            *(node("MatMul", "x r", "s", name="router"), node("ArgMax", "s", "i", axis=1, keepdims=0)),
            *(node("Gather", "t i", "g"), node("MatMul", "u g", "m", name="e")),
            *(node("Unsqueeze", "x one", "u"), node("Squeeze", "m one", "y")),
        ],
        {"r": weights(6, count), "t": weights(count, 6, 5), "one": [1]},
        {"x": ["n", 6]},
    )
    return picture_of(save(table, folder, f"{count}.onnx"))


def test_many_experts_share_an_entry(tmp_path):
    lines = render("graph", "text", experts(40, tmp_path)).splitlines()
    assert sum("expert" in line for line in lines) == 2
    assert any("router, e.expert0…39 (40)" in line for line in lines)
    assert [line.split()[:4] for line in lines if line.startswith("e.expert")] == [
        ["e.expert0…39", "(40)", "MatMul", "6"]
    ]
    assert render("graph", "text", experts(40, tmp_path), RenderOptions(unicode=False)).isascii()
    assert "(3)" not in render("graph", "text", experts(3, tmp_path))


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for name, text in render_golden(Path(folder)).items():
            (GOLDEN / name).write_bytes(text.encode())
