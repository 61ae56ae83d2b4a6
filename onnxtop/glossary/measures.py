"""What the figures of a report mean."""

from onnxtop.glossary.term import Term
from onnxtop.glossary.untrained import STRUCTURE

_RIECK = "Rieck et al., Neural Persistence, ICLR 2019 (arXiv 1812.09764)"
_GIRRBACH = "Girrbach et al., Addressing caveats of neural persistence, TMLR 2023"

FIGURES = (
    Term(
        name="np",
        title="neural persistence: 0 if strong weights join a layer, about 1 if weak",
        what="How much weaker than the strongest weight of the network the edges are that join a layer's "
        "neurons to one piece. Small if all are joined by strong weights, near 1 if most are joined by "
        "weak ones, and a little above 1 if nearly all are tiny beside that weight: with the essential class "
        "(see convention) there is a bar more than normalized divides by. It is not clipped.",
        how="Strengths are |w| over the largest |w| of the network. The maximum spanning tree of the "
        "layer gives a bar from 1 to t for every edge of strength t; the total is the p-norm of their "
        "lengths, p = 2. Normalized divides by (V - 1) ** (1 / p), V neurons.",
        limits="Mostly mirrors the variance of the weights, and falls as that grows; one outlier anywhere "
        "raises all layers. No value is good or bad by itself, and two architectures do not compare. Alone "
        "it tells neither a trained network from an untrained one, nor the layer that was reset, nor which "
        "checkpoint is the best (docs/studies/usefulness.md).",
        source=f"{_RIECK}; {_GIRRBACH}",
        also=("np.normalized", "normalized", "neural_persistence", "total", "neural-persistence"),
    ),
    Term(
        name="np.mean_normalized",
        title="neural persistence of the network",
        what="The mean of the layers' normalized neural persistence.",
        how="Layers that are copies of others, not finite, or probably fixed do not count.",
        limits="As for np.",
        source=_RIECK,
        also=("mean_normalized", "network"),
    ),
    Term(
        name="z",
        title="how far NP is from that of the same weights shuffled, in deviations",
        what="How far the layer's neural persistence is from that of the same weights in random places, "
        "in standard deviations. Near 0: the arrangement of the weights adds nothing to their "
        "distribution.",
        how="Which ranks the spanning tree uses depends on the shape alone. Their law is that of a random "
        "graph, in closed form; of small layers, and with a bias row, it is drawn.",
        limits="Says that a layer is not exchangeable, not that it is well trained, nor how large the effect "
        "is: z = 100 can be 12 % of NP (see excess). The layer with the lowest z need not be the one that is "
        "wrong: OT207 and OT209 say which looks reset. Not defined where every arrangement gives the same "
        "value.",
        source=f"{_GIRRBACH}; onnxtop",
        also=("np.z", "null", "null model", "null-model"),
    ),
    Term(
        name="exchangeability",
        title="whether a layer looks untrained",
        what="A layer is exchangeable if its weights could be shuffled and no statistic would notice: it "
        "was never trained, never loaded, or was reset.",
        how=f"No statistic finds structure. {STRUCTURE} Where there is none, the nearest of the common "
        "initialisers is named.",
        limits="2 % of the layers of trained files show no structure, mostly small convolutions; of small "
        "networks that were trained for seconds one large layer in six. In some, trained with "
        "normalisations, large weights are spread more evenly than chance would have it.",
        source="Johnstone, Annals of Statistics 2001; counted in docs/rules.md, calibration",
        also=(
            *("exchangeable", "untrained", "spectrum", "concentration", "z_rows", "z_columns"),
            *("initialiser", "mark"),
        ),
    ),
    Term(
        name="variance",
        title="variance of strengths, of a layer and of the network",
        what="The variance of |w| over the largest |w| of the network, which explains most of neural "
        "persistence: NP falls as it grows.",
        how="Over all weights of the layer; the network's over those of all layers that count in the mean. "
        "In hidden layers of small networks the rank correlation of NP with its logarithm is -0.94.",
        limits="Moves with the largest weight of the network.",
        source=_GIRRBACH,
        also=("variance of all weights",),
    ),
    Term(
        name="sortedness",
        title="how far large weights are gathered in some rows and columns",
        what="0 if large and small weights are mixed, 1 if |w| is sorted row by row, column by column or "
        "along the diagonals, once rows and columns are sorted by their means.",
        how="The largest of three Kendall's taus; of a matrix with more than 100,000 entries that of so many "
        "of them, always the same. Of several blocks the mean. Measured with --sortedness only.",
        limits="Sorting the lines first makes it positive for random weights too: 0.1 at 100 by 50, less the "
        "larger the matrix. z says whether a layer is more than chance.",
        source=_GIRRBACH,
        also=("Kendall", "Kendall's tau"),
    ),
    Term(
        name="dgp",
        title="deep graph persistence of the network",
        what="As neural persistence, of the whole network at once: how strong the ways from inputs to "
        "outputs are. Near 0 if they are strong, near 1 if most are weak, and, as np, a little above 1 if "
        "nearly all are.",
        how="Every weight counts as strong as the best way from an input to an output that leads through it.",
        limits="Needs to know which neuron feeds which; where that is not known exactly, connectivity "
        "says so. Where one layer ends nearly all bars it hardly moves in training. It tells no more of "
        "accuracy than NP does (docs/studies/network.md, docs/studies/usefulness.md).",
        source=_GIRRBACH,
        also=("dgp.normalized", "deep_graph_persistence", "deep-graph-persistence"),
    ),
    Term(
        name="to-score",
        title="topological obstructions of the loss",
        what="How high one has to climb from a minimum of the loss to reach a lower one.",
        how="Minima are joined by paths whose highest point is made as low as possible; the merge tree of "
        "these heights gives a bar a minimum.",
        limits="Found paths are upper bounds; with few minima it says little. Needs data.",
        source="Barannikov et al., Topological obstructions in neural networks' learning (arXiv 2012.15834)",
        also=("to_score", "loss-barcode", "barcode", "onnxtop's own reading of the papers"),
    ),
    Term(
        name="coverage.fraction",
        title="share of the weights that was read",
        what="Elements of weight tensors that were analysed, over all of them.",
        how="Biases, normalisation parameters, other constants and unused tensors are counted apart.",
        limits="A skipped tensor carries its reason in the report.",
        source="onnxtop's coverage account",
        also=("coverage", "weights read"),
    ),
    Term(
        name="sketch",
        title="a layer in short",
        what="64 random projections of the weights, in text: enough to tell from two reports whether two "
        "layers hold the same weights, transposed ones, or others.",
        how="The weights between 8 random directions of the rows and 8 of the columns, rounded to 8 bits.",
        limits="Gives the cosine of two layers to about 0.1 if they differ, closely if they are alike.",
        source="onnxtop",
    ),
    Term(
        name="verdict",
        title="whether two models are one function",
        what="SAME: the same operations on the same constants. EQUIVALENT: equal in real arithmetic. "
        "WITHIN TOLERANCE: equal but for rounding that is named, or constants that differ little and "
        "everywhere. CHANGED: what is listed. UNPROVEN: operations that cannot be matched, so that both "
        "may still agree.",
        how="Both models become terms of one table, in which equal operations on equal operands are one "
        "entry: as they stand, in one normal form, then without casts, codes and normalisations. Where "
        "outputs differ, the graphs are walked down to where they part.",
        limits="Nothing is run. Open sizes are tried at two values, and what rounding to codes does to "
        "activations cannot be read off a model; both are said.",
        source="onnxtop",
        also=("same", "equivalent", "within tolerance", "changed", "unproven", "matched"),
    ),
)
"""In the order in which the documentation tells them."""
