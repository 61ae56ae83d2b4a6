"""Words of ``diff``: what became of the whole model, and of each layer."""

from onnxtop.glossary.term import Term

_DIFF = "docs/diff.md"
_MEASURED = f"{_DIFF}, What is measured"

TERMS = (
    Term(
        name="whole model",
        title="two models compared as functions",
        what="Every operation, attribute, edge and constant, not layer by layer. The verdict is that of "
        "the whole; what became of the layers stands below it.",
        source=f"{_DIFF}, How models are compared",
        also=("whole", "level", "as they stand", "in one normal form", "without what rounds", "operations"),
    ),
    Term(
        name="run of both models",
        title="what two models gave on the same inputs",
        what="Of each output the largest and the mean difference, absolute and against the spread of the "
        "old output (its standard deviation), and of classes the share of rows with the same top class. "
        "Where an output differs, they part at the first layer or node whose values differ. NO DIFFERENCE "
        "FOUND: the models are unproven, and a run showed no difference, which is true of these inputs; "
        "no more is claimed.",
        source=_DIFF,
        also=(
            "NO DIFFERENCE FOUND",
            "DIFFERS",
            "run",
            "parting",
            "they part at",
            "spread",
            "top class",
            "largest difference",
        ),
    ),
    Term(
        name="left out or assumed",
        title="what a verdict does not speak of",
        what="What was left out of the comparison because it only rounds, and the sizes that were assumed.",
        source=f"{_DIFF}, The verdict",
        also=("dropped",),
    ),
    Term(
        name="what changed",
        title="differences of the whole that count",
        what="The most important first: interface (inputs and outputs), operations that were removed, "
        "inserted, replaced or left unmatched, edges, attributes, versions of operations, constants, "
        "layers; each with the node it is at. Beside that, or within the tolerance, stand those that "
        "count for nothing.",
        source=f"{_DIFF}, The verdict",
        also=(
            *("change kind", "changes", "counts", "kind", "interface", "removed", "inserted", "replaced"),
            *("unmatched", "region", "edge", "attribute", "constant", "beside that", "what", "where"),
        ),
    ),
    Term(
        name="change",
        title="how far the weights of a layer moved",
        what="Norm of the difference, against the norm of the old weights, once these are in the order of "
        "the new.",
        limits="A change of 10 % is a signal-to-noise ratio of 20 dB.",
        source=_MEASURED,
        also=("relative", "largest relative change", "relative change", "changed"),
    ),
    Term(
        name="SNR dB",
        title="signal-to-noise ratio of the new weights against the old, in decibels",
        what="20 log10 of the norm of the old weights over that of the difference: 20 dB is a change of "
        "10 %, 40 dB one of 1 %. Empty where nothing differs.",
        source=_MEASURED,
        also=("SNR", "snr_db", "dB", "decibel", "signal-to-noise", "signal-to-noise ratio"),
    ),
    Term(
        name="cosine",
        title="of the angle between old and new weights",
        what="1: the same but for a factor; 0: nothing in common.",
        source=_MEASURED,
    ),
    Term(
        name="distance",
        title="bottleneck distance of two persistence diagrams",
        what="Of a layer's old and new diagram: the least d such that the points of both can be paired, "
        "or sent to the diagonal, none moved by more than d. 0 where the diagrams are the same.",
        limits="Each diagram is taken at its own network's scale. In a report, distance is that of a "
        "layer's weights from the nearest initialiser: the largest difference of the two distribution "
        "functions (Kolmogorov, Smirnov).",
        source=f"{_MEASURED}; Cohen-Steiner et al., Stability of persistence diagrams, 2007",
        also=("bottleneck", "bottleneck distance"),
    ),
    Term(
        name="tree kept",
        title="share of the old spanning tree that is in the new one",
        what="Of the edges of the layer's maximum spanning tree. A tie is no change: of equal edges those "
        "of the old tree are preferred.",
        source=_MEASURED,
        also=("tree_kept", "kept"),
    ),
    Term(
        name="share of weights",
        title="share of the weights whose value differs",
        what="And factor: the number that brings the old weights nearest to the new, told if it explains "
        "the change, as for a wrong scale; per_output, where each output has one of its own.",
        source=_MEASURED,
        also=("share", "factor", "per_output"),
    ),
    Term(
        name="appeared",
        title="a layer that only one of the models has",
        what="appeared: only the new one has it; vanished: only the old one.",
        source=f"{_DIFF}, How layers are matched",
        also=(
            "vanished",
            "another architecture",
            "same architecture",
            "same_architecture",
            "changed size",
            "resized",
        ),
    ),
    Term(
        name="found by",
        title="how a layer was found again",
        what="By its name, by the path of its module, which exporters spell differently, by the name of "
        "its weight tensor, by its content, or by its place among layers of its size.",
        source=f"{_DIFF}, How layers are matched",
        also=("matched_by", "content", "place", "module path", "weight name"),
    ),
    Term(
        name="was",
        title="what stood in the old model",
        what="A layer's old name; in a table, the old figure before the new one.",
        source=_DIFF,
        also=("old", "new", "now", "old_name", "old_shape", "old_encoding", "mean NP"),
    ),
    Term(
        name="another order",
        title="the same weights, rearranged",
        what="Old weights are tried transposed and with rows or columns permuted. Whether a permutation "
        "is harmless depends on the neighbours, so it counts as a change unless --permuted-ok.",
        source=f"{_DIFF}, Weights in another order",
        also=("order", "every weight is still there, some in another order", "permuted", "transposed"),
    ),
    Term(
        name="with the weights of another",
        title="a layer that holds what another held",
        what="Two layers that were swapped, for one.",
        source=f"{_DIFF}, Weights in another order",
        also=("holds",),
    ),
    Term(
        name="tied or untied",
        title="a tie that was made or undone",
        what="More or fewer nodes share the weights of a layer than before. It counts as a change.",
        source=f"{_DIFF}, When a layer counts as changed",
        also=("retied", "untied"),
    ),
    Term(
        name="not comparable",
        title="layers whose weights cannot be subtracted",
        what="One of the two holds NaN or infinity, or the old ones are all zero.",
        source=_DIFF,
    ),
)
