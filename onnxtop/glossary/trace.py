"""Words of ``trace``: how training went, what moved, when it could have stopped."""

from onnxtop.glossary.term import Term

_PAGE = "docs/trace.md"
_RIECK = "Rieck et al., Neural Persistence, ICLR 2019 (arXiv 1812.09764), section 4"

TERMS = (
    Term(
        name="checkpoint",
        title="the network at one moment of its training",
        what="A file of the series, called by as much of its name as tells it from the others. not read: "
        "the file is damaged or has no weights; its reason stands below.",
        how="By the numbers in the names, or by --order; --label takes the step from the name.",
        source=_PAGE,
        also=("checkpoints", "step", "Training run", "Training run of so many checkpoints", "not read"),
    ),
    Term(
        name="course",
        title="how training went, in a word",
        what="still untrained: the rule looks-untrained speaks for the last checkpoint. learning: none of "
        "the others. settled: from the checkpoint since on, mean NP stays within 1 % of its last value, no "
        "checkpoint moves the weights by more than 3 %, and at least two follow. diverged: weights or the "
        "loss are not finite, or the largest weight grew tenfold from one checkpoint to the next (a "
        "hundredfold out of a fresh network), or a hundredfold over all. nothing moved: all hold the same "
        "weights. too short to tell: there is one.",
        limits="settled says that nothing moves, not that the network is good: a learning rate of nearly 0 "
        "settles any run.",
        source=_PAGE,
        also=(
            *("verdict", "sentence", "since", "settled", "diverged", "learning", "still untrained"),
            *("nothing moved", "too short to tell", "untrained again"),
        ),
    ),
    Term(
        name="moved",
        title="how far the weights went since the checkpoint before",
        what="The norm of the difference against that of the weights before, of a layer; of the network the "
        "mean over its layers.",
        source=_PAGE,
        also=("relative", "moved/layer"),
    ),
    Term(
        name="np/mean",
        title="figures by the names that they have in a logger",
        what="np/mean is the mean NP of the network, dgp its deep graph persistence; np/, z/, moved/ and "
        "bottleneck/ before the name of a layer are its figures: in CSV, in a data frame, in logs.",
        source=_PAGE,
        also=("metrics", "np/layer", "z/layer", "NP from", "to"),
    ),
    Term(
        name="bottleneck/layer",
        title="how far the diagram of a layer went since the checkpoint before",
        what="The bottleneck distance of the two diagrams, as of a diff.",
        source=_PAGE,
    ),
    Term(
        name="untrained share",
        title="share of layers that still look untrained",
        what="Of the layers that can be judged, those whose weights show no training: they cannot be told "
        "from their own shuffles, or are orthonormal.",
        limits="Layers below 1,024 weights are not judged; small ones may stay like this for long.",
        source=f"{_PAGE}; `onnxtop explain exchangeability`",
        also=("untrained", "untouched", "judged"),
    ),
    Term(
        name="largest",
        title="the largest weight of the network",
        what="The largest |w| over all finite layers. Mean NP with scale global measures every layer against "
        "it, so NP grows where it grows.",
        source=_PAGE,
        also=("scale_global", "scale_layer", "mean NP", "mean NP, scale global", "mean NP, scale layer"),
    ),
    Term(
        name="events",
        title="what happened to layers on the way",
        what="frozen: no checkpoint changed it. reset: nothing of its earlier weights is left, their cosine "
        "is that of chance; or its weights show no training any more and turned far. zeroed: all its weights "
        "are 0. restored: it holds the weights of an earlier checkpoint again. replaced: nothing is left of "
        "any layer. not finite: the first NaN or infinity. exploded: the largest weight grew tenfold.",
        source=_PAGE,
        also=("event", "kind", "frozen", "reset", "zeroed", "restored", "replaced", "exploded"),
    ),
    Term(
        name="stopping rule",
        title="where training would have stopped",
        what="At the first check that is the last of so many in a row (patience) without a rise of the "
        "measure by more than min-delta above its best so far; checks of the burn-in do not count. It needs "
        "no data. A value that is not finite is no rise.",
        limits="The paper itself reports that it does not work for convolutions: up to 4 % of accuracy lost. "
        "Validation data choose better by far, and so does the last checkpoint (docs/studies/usefulness.md).",
        source=f"{_PAGE}; {_RIECK}",
        also=(
            *("stopping", "stop", "stopped", "last rise", "best", "waited", "checks", "saved", "caveat"),
            *("would have stopped at a checkpoint", "would not have stopped", "the last rise of DGP was at"),
            *("min-delta", "burn-in", "mean NP and DGP"),
        ),
    ),
    Term(
        name="cost",
        title="what stopping early costs in accuracy",
        what="The accuracy where the rule fired against that where the same patience on a falling loss would "
        "have, and against that of the last checkpoint, in points: hundredths. By the split of --data that "
        "was held out (the first beside the main one), or by --metric-file.",
        source=_PAGE,
        also=(
            *("scores", "source", "last", "validation", "validation_stopped", "value", "not known"),
            "accuracy at the last checkpoint, against stopping on the loss and never stopping",
            "a patience on the loss",
        ),
    ),
)
