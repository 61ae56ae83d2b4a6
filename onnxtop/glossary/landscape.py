"""Words of ``loss-barcode``: minima, the passes between them, their bars."""

from onnxtop.glossary.term import Term

_PAGE = "docs/loss-barcode.md"
_BARANNIKOV = "Barannikov et al., Topological obstructions in neural networks learning (arXiv 2012.15834)"
_IDEA = f"{_PAGE}, The idea; {_BARANNIKOV}"

TERMS = (
    Term(
        name="minimum",
        title="a point of the loss to which descent leads",
        what="A file, or weights trained on the spot, polished: L-BFGS on all data until a further descent, "
        "as long as all before, gains less than 1e-6 or 1 % of the shortest bar. Then it is certified; one "
        "that is not counts like the others and is marked. unfinished: the budget (--polish) ended first. "
        "saddle: its loss curves down somewhere.",
        limits="In the statistics of a layer, minimum and maximum are its smallest and largest weight.",
        source=f"{_PAGE}, Minima",
        also=(
            *("minima", "n_minima", "certified", "no minimum", "grey: no minimum, see the report", "verdict"),
            *("unfinished", "at rest", "polish", "polished", "polishing"),
        ),
    ),
    Term(
        name="falls for ever",
        title="a loss without a minimum",
        what="From this point the loss never rises as weights grow, out to a hundred times: cross-entropy "
        "without weight decay, of a network that gets every sample right. The point stays where it came, and "
        "its bar is none between minima (no bound). Weight decay (--l2) or label smoothing "
        "(--label-smoothing) gives the loss a bottom.",
        limits="Weights are looked at all together and those of the last layer alone.",
        source=f"{_PAGE}, Minima",
        also=(
            *("points are no minima", "from there the loss falls for ever as the weights grow"),
            *("their bars are not bars between minima", "from some the loss falls for ever"),
            "label smoothing gives the loss a bottom",
        ),
    ),
    Term(
        name="given",
        title="how far a point lay above where polishing took it",
        what="Its loss as it came, less its birth; moved: how far it was taken from there. Empty where "
        "it was at rest.",
        source=f"{_PAGE}, Minima",
        also=("moved", "given_loss"),
    ),
    Term(
        name="gain",
        title="what a further descent wins",
        what="As many gradients as all before; where the budget ended first, what their second half won. The "
        "birth may be too high by so much, and the bar too short.",
        source=f"{_PAGE}, Minima",
        also=("gains", "further descent", "upper bound but for the births"),
    ),
    Term(
        name="birth",
        title="the loss at a minimum",
        what="Where its bar begins.",
        source=_IDEA,
        also=("from birth to death of every minimum",),
    ),
    Term(
        name="death <=",
        title="least height at which one gets to a lower point",
        what="Where the bar of a minimum ends: the highest loss on the lowest way found from it to a "
        "lower minimum. never: the lowest minimum has nowhere to go, its bar is essential.",
        limits="An upper bound: a path that was found can only be too high.",
        source=_IDEA,
        also=("death", "lost to", "partner"),
    ),
    Term(
        name="length <=",
        title="what it costs at least to escape from a minimum",
        what="Death minus birth: the length of its bar. <= where it is an upper bound: the death is one, and "
        "the gain of a further descent is at most 1 % of the length. Otherwise from .. to: from the birth as "
        "it is, and from the birth lower by the gain.",
        source=_IDEA,
        also=(
            *("length", "bar of a minimum", "barrier", "n_bars", "bars", "interval", "none", "no bound"),
            *("length_most", "mean_most", "longest_most", "total_most", "scale_free_most"),
            "direct_mean_most",
        ),
    ),
    Term(
        name="pass",
        title="the way between two minima, as high as its highest point",
        what="height is the highest loss on the best path found, straight that of the straight line, "
        "gradients what the search took; * marks a pass that ends a bar. no pass: the loss was not finite "
        "on the way.",
        source=_IDEA,
        also=(
            "passes",
            "no pass",
            "height",
            "height <=",
            "straight",
            "path",
            "paths",
            "ends a bar",
            "in_tree",
            "from the lower end of the path to the higher",
        ),
    ),
    Term(
        name="saddle",
        title="what the highest point of a path was shown to be",
        what="pass: the gradient is at most 1e-4 (1 + loss) and one direction leads down. flat: the "
        "gradient is that short and none does. no barrier (level): no point is higher than the higher end. "
        "not refined: nobody looked, the budget was out, no step led on (stuck), or paths through the pass "
        "that was found are higher (beside). Curvatures: the two lowest that were met.",
        limits="They are upper bounds of the two lowest eigenvalues of the Hessian: a second one below 0 "
        "proves that two directions lead down, one above does not prove that only one does.",
        source=f"{_PAGE}, Passes; Henkelman and Jónsson, J. Chem. Phys. 111 (1999); Baker, J. Comput. "
        "Chem. 7 (1986)",
        also=(
            "top",
            "flat",
            "level",
            "beside",
            "stuck",
            "not refined",
            "refined",
            "no barrier: its height is that of the higher end",
            "budget out",
            "one direction down",
            "two directions or more down",
            "no direction down",
            "down",
            "second_curvature",
            "highest points of the paths that end a bar",
        ),
    ),
    Term(
        name="upper bound",
        title="why there is <= before a figure",
        what="Nobody knows the lowest path between two minima. One that was found can only be too high, "
        "so every death is at most what is written; a length or a score is where the births are bottoms.",
        source=_IDEA,
        also=("bound", "<=", "not known"),
    ),
    Term(
        name="longest",
        title="figures beside the TO-score",
        what="The longest of the finite bars, their sum, the mean divided by the distance of the "
        "reference loss from the lowest minimum (scale-free), and the mean with bars that end at the "
        "lowest direct path, as the papers' code has it (by direct pairs).",
        source=f"{_PAGE}, TO-score; {_BARANNIKOV}",
        also=(
            "sum",
            "scale-free",
            "scale_free",
            "by direct pairs",
            "direct_mean",
            "mean",
            "definition",
            "score",
        ),
    ),
    Term(
        name="reference loss",
        title="the loss of a predictor that knows nothing",
        what="Uniform over the classes, or the constant mean of the target.",
        source=f"{_PAGE}, TO-score",
        also=("reference_loss",),
    ),
    Term(
        name="finder",
        title="how a path is looked for",
        what="neb: nudged elastic band. bezier: the quadratic Bezier curve of lowest mean loss. authors: "
        "the step of the papers. line: the straight line.",
        source=f"{_PAGE}, Paths; arXiv 1803.00885 (elastic band), 1802.10026 (Bezier curve), 2012.15834",
        also=("neb", "bezier", "authors", "line"),
    ),
    Term(
        name="pairs",
        title="which minima are joined",
        what="tree: the pairs that can shorten a bar. all: every pair. direct: every pair, and bars that "
        "end at the lowest direct path, as in the papers' code.",
        source=f"{_PAGE}, TO-score",
        also=("tree", "all", "direct"),
    ),
    Term(
        name="aligned",
        title="hidden units renumbered before a path is looked for",
        what="Those of one end to lie near those of the other, by weight matching, with signs flipped "
        "between odd functions and, without l2, scaled around ReLU; the function stays what it is. An "
        "operation that is not known to treat units alike holds them in place; bounds are looser then.",
        source=f"{_PAGE}, Alignment; Ainsworth et al., Git Re-Basin (arXiv 2209.04836)",
        also=(
            "not aligned",
            "alignment",
            "renumbered",
            "scaled",
            "holds units in place",
            "bounds are looser",
            "units",
            "unit",
        ),
    ),
    Term(
        name="optimiser",
        title="how a minimum is trained",
        what="adam: with a rate that falls like a cosine. sgd-1, sgd-2: gradient descent with one of the "
        "papers' two schedules. lbfgs: on all data at once. fresh: from new random weights; perturbed: "
        "from the model's own.",
        source=f"{_PAGE}, Minima",
        also=("adam", "sgd-1", "sgd-2", "lbfgs", "start", "fresh", "perturbed"),
    ),
    Term(
        name="|grad|",
        title="length of the gradient at a minimum",
        what="Near 0 at a minimum.",
        source=f"{_PAGE}, Minima",
        also=("grad",),
    ),
    Term(
        name="curves",
        title="the lowest eigenvalue of the Hessian at a minimum",
        what="Below 0: the loss falls to either side somewhere, and the point is a saddle. With "
        "--curvature only.",
        source=f"{_PAGE}, Minima",
        also=("curvature",),
    ),
    Term(
        name="incomplete",
        title="a barcode that was cut short",
        what="It was interrupted, or the budget was spent, before every minimum had its path.",
        source=_PAGE,
        also=("complete", "interrupted", "budget", "gradients", "evaluations", "spent on"),
    ),
    Term(
        name="first",
        title="ends of a path; second: the other",
        what="Names of two minima; a profile goes from the first to the second, positions from 0 to 1.",
        source=_PAGE,
        also=("second", "positions"),
    ),
)
