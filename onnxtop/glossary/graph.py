"""Words of ``graph``: the kinds of nodes, and what is cut off."""

from onnxtop.glossary.term import Term

_GRAPH = "docs/graph.md"

TERMS = (
    Term(
        name="hub",
        title="an operation that could not be followed",
        what="It is not known, or a size is not: everything that enters it may reach everything that "
        "leaves it. A graph with hubs is conservative.",
        source=_GRAPH,
        also=("hubs",),
    ),
    Term(
        name="join",
        title="neurons made from several others without a weight",
        what="Sums, concatenated means, gates, attention: an edge into a join is as strong as the "
        "strongest there is.",
        source=_GRAPH,
        also=("joins",),
    ),
    Term(
        name="state",
        title="what a loop carries from one step to the next",
        what="States that go in and come out (h and c of an LSTM, caches of keys and values) are "
        "recurrence, not inputs and outputs.",
        source="docs/graph.md, docs/deep-graph-persistence.md",
        also=("states", "recurrence"),
    ),
    Term(
        name="vocabulary",
        title="the rows of a table from which indices choose",
        what="As in an embedding: the rows are inputs of the network, the indices are not. Counted as a "
        "table.",
        source=_GRAPH,
        also=("table",),
    ),
    Term(
        name="input",
        title="where the network begins; output: where it ends",
        what="Neurons of the model's inputs and outputs. A batch, positions and the steps of a sequence "
        "share their neurons. --from-input and --to-output choose others.",
        source="docs/graph.md, docs/deep-graph-persistence.md",
        also=("inputs", "output", "outputs", "from input", "to output", "dgp inputs"),
    ),
    Term(
        name="no input reaches it",
        title="why a node is cut off",
        what="No input reaches it, it reaches no output, or it was not taken as an input: it lies on no "
        "way from an input to an output. What is cut off stands at the end, dashed in pictures.",
        source=_GRAPH,
        also=(
            *(
                "reaches no output",
                "not taken as an input",
                "on no way from an input to an output",
                "cut off",
                "back: a cycle",
            ),
            *("unreachable", "cutOff"),
        ),
    ),
    Term(
        name="read as elementwise",
        title="an operation that was followed in a simpler form",
        what="Normalisations, LayerNormalization and Softmax among them, are read as elementwise: their "
        "mixing and their scale are left out of the graph. States are read as recurrence, scales that are "
        "computed from activations as constants.",
        source="docs/deep-graph-persistence.md, What is from the paper, and what is ours",
        also=("elementwise", "read as recurrence", "read as constants"),
    ),
    Term(
        name="open size",
        title="a length that the model leaves open",
        what="One is assumed that fits the weights. Where none of those tried does, a note and the rule "
        "OT307 say what was assumed: give it with --input-shape or --dim.",
        source="docs/deep-graph-persistence.md, Exact or conservative",
        also=("open axes", "open dimension", "sizes that were assumed"),
    ),
    Term(
        name="source",
        title="where an edge begins; target: where it ends",
        what="Ids of nodes, kind and name with a colon between, in the node-link form of JSON that "
        "networkx and d3 read; directed, multigraph, graph, nodes and edges belong to that form.",
        limits="Of a layer in a report, source is the line of the source code that the exporter noted.",
        source=f"{_GRAPH}, Formats",
        also=("target", "id", "directed", "multigraph", "nodes", "edges", "graph", "neurons"),
    ),
)
