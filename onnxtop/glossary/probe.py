"""Words of ``probe``: the loss of a model on data, and what is around it."""

from onnxtop.glossary.term import Term

_PROBE = "docs/probe.md"
_LOSSES = f"{_PROBE}, Losses"
_SHOWN = f"{_PROBE}, What is shown"
_LI = "Li et al., Visualizing the Loss Landscape of Neural Nets, NeurIPS 2018 (arXiv 1712.09913)"

TERMS = (
    Term(
        name="loss",
        title="how wrong a model is on data",
        what="The mean over all elements that count. cross-entropy: of logits against labels. binary: of "
        "logits against zeros and ones. mse, l1, huber: of numbers against numbers. auto chooses by the "
        "output's shape and the target's type.",
        source=_LOSSES,
        also=("loss_name", "cross-entropy", "binary", "mse", "l1", "huber", "losses", "auto"),
    ),
    Term(
        name="accuracy",
        title="share of the samples whose class is named rightly",
        what="top-5: whose class is among the five that the model gives most.",
        source=_SHOWN,
        also=("top5", "top-5", "accuracies"),
    ),
    Term(
        name="rmse",
        title="root of the mean squared error",
        what="Of outputs that are numbers, against the target.",
        source=_SHOWN,
        also=("root mean squared error", "error of a split"),
    ),
    Term(
        name="recall",
        title="scores of one class",
        what="recall: share of its samples that were named so. precision: share of the samples named so "
        "that are its.",
        source=_SHOWN,
        also=("precision", "class", "classes", "label", "worst classes"),
    ),
    Term(
        name="gradient norm",
        title="length of the gradient of the loss",
        what="By all parameters, at the exported weights; exact, by the chain rule over the model's "
        "operations. Of a layer, by its own parameters; near 0 at a minimum.",
        limits="Weights in codes have none, nor has a model with an operation that has no rule: no "
        "gradient, and why.",
        source=f"{_SHOWN}; docs/gradient-ops.md",
        also=("gradient", "gradient_norm", "no gradient", "gradient_reason"),
    ),
    Term(
        name="share of its square",
        title="a layer's share of the whole gradient",
        what="Squared length of the layer's gradient, over that of the whole; all shares sum to 1.",
        source=_SHOWN,
        also=("share", "weight_norm"),
    ),
    Term(
        name="sharpness",
        title="the largest eigenvalue of the Hessian",
        what="How strongly the loss curves in its steepest direction.",
        how="Lanczos's method on finite differences of the gradient, to one percent.",
        limits="At least so much, where the method did not converge.",
        source=_SHOWN,
        also=("largest_eigenvalue", "Hessian", "largest Hessian eigenvalue"),
    ),
    Term(
        name="short descent",
        title="what a few more steps would gain",
        what="At most 30 gradients of L-BFGS from the exported weights. A gain above one percent of the "
        "loss says: not a minimum. Little gain says only that this descent found nothing.",
        source=_SHOWN,
        also=(
            "descent",
            "gain",
            "gains",
            "a short descent gains",
            "not a minimum",
            "a minimum, as far as this tells",
        ),
    ),
    Term(
        name="loss along directions",
        title="the loss on straight lines through the weights",
        what="Two random filter-normalised directions, and downhill along the gradient. A random "
        "direction has, filter by filter, the length of the model's own weights, so step 1 is as long as "
        "the weights.",
        source=f"{_SHOWN}; {_LI}",
        also=(
            *(
                "profile",
                "profiles",
                "direction",
                "downhill",
                "step",
                "steps",
                "filter-normalised",
                "logarithmic",
            ),
            *(
                "surface",
                "first direction",
                "second direction",
                "in lengths of the filters",
                "over two random directions",
            ),
        ),
    ),
    Term(
        name="batchnorm",
        title="which statistics BatchNormalization uses",
        what="frozen: those that are stored, as the exported model does. batch: those of the samples of "
        "each run. recalibrate: measured anew at each theta, and held fixed in the gradient.",
        source=f"{_PROBE}, BatchNormalization",
        also=("frozen", "batch", "recalibrate", "recalibration", "BatchNorm by batch"),
    ),
    Term(
        name="l2",
        title="weight decay in the loss",
        what="L2 / 2 times the squared length of all parameters is added to the loss.",
        source=_LOSSES,
    ),
    Term(
        name="label smoothing",
        title="labels that are not quite sure",
        what="This share of the uniform distribution is mixed into the labels of cross-entropy and binary.",
        source=f"{_LOSSES}; Szegedy et al. (arXiv 1512.00567)",
        also=("label_smoothing",),
    ),
    Term(
        name="split",
        title="a part of the data of its own",
        what="Arrays whose names end in _NAME, such as x_test and labels_test. main: those without an "
        "ending.",
        source=f"{_PROBE}, Data",
        also=("splits", "of split", "samples", "sample", "test", "main"),
    ),
    Term(
        name="stopped early",
        title="a probe that did not do everything",
        what="The budget is spent, or it was interrupted; what is shown was finished.",
        source=_PROBE,
        also=("stopped", "the budget is spent", "interrupted", "not probed", "finished"),
    ),
)
