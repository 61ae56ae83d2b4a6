"""How a layer, and a network, is told that was never trained: the limits, and the words for them, once.

The statistics and the rules read the limits here; ``explain`` and the pages print the words.
"""

PERSISTENCE, CONCENTRATION, SPECTRUM = "neural persistence", "concentration", "spectrum"

LIMITS = {PERSISTENCE: 3.0, CONCENTRATION: 4.0, SPECTRUM: 4.0}
"""How far above chance a statistic has to be to speak; calibrated on published models."""

SMALLEST_LAYER, SMALLEST_SIDE = 1024, 8
"""Weights of a layer, and rows and columns of each block, below which it cannot be called exchangeable."""

NEARLY_EMPTY = 0.08
"""Share of weights that are not zero below which the spectrum says nothing: of random matrices with 1 to 2 %
it finds structure in 20 to 50 %, with 5 % in 2 to 9 %, with 8 % and more in at most 4 %."""

TOO_SMALL = "too small to be called exchangeable"
EMPTY = "too few of its weights are not zero for the spectrum"
ZERO = "all its weights are zero"
TOLD = "the concentration tells it from its shuffles: the spectrum was not asked"
"""Why a statistic was not asked."""

STRUCTURE = (
    f"Structure is z of neural persistence above {LIMITS[PERSISTENCE]:g}, concentration of |w| in rows or "
    f"columns above {LIMITS[CONCENTRATION]:g}, or a largest singular value above its Tracy-Widom edge by "
    f"more than {LIMITS[SPECTRUM]:g}. Only what is above chance counts: what is below is the mark of an "
    f"initialiser or a mask. Below {SMALLEST_LAYER:,} weights, or {SMALLEST_SIDE} rows or columns, z alone "
    "is asked, and a layer is never called exchangeable; the spectrum is not asked where the concentration "
    f"tells, nor where fewer than {100 * NEARLY_EMPTY:g} % of the weights are not zero; of lines that were "
    "normalised to one length, z and the concentration in these lines are not."
)
"""What tells a layer from its own shuffles."""

ENOUGH_LAYERS, ENOUGH_WEIGHTS = 3, SMALLEST_LAYER
"""Layers that have to be judged before the share of them alone says anything; of fewer, weights of the one
that tells an initialiser's distribution from others."""

FRESH = (
    "A layer is as drawn if it has no structure, its weights have the distribution of an initialiser whose "
    "scale follows from the layer's sides (Kolmogorov and Smirnov; the largest is neither larger nor smaller "
    "than the largest of so many draws ever is; zeros of a mask apart) or are all zero, and its bias is one "
    "number or as PyTorch draws it; of a layer without a bias, or with a short one as PyTorch draws it, only "
    "if that initialiser draws nothing beyond a bound. Rows or columns that are orthonormal to float "
    "precision, up to a factor for each, are proof by themselves."
)
"""What tells a layer that is as an initialiser left it."""

FRESH_NETWORK = (
    f"Of at least {ENOUGH_LAYERS} layers that are large enough to be judged, a share of `untrained.share` "
    "has no structure or is orthonormal. Of fewer, all layers are as drawn, small ones too, and no weight "
    f"was skipped. And the first step would show, in a layer of at least {ENOUGH_WEIGHTS:,} weights: its "
    "initialiser draws nothing beyond a bound, or its bias is still as at the start; or else, of at least "
    f"{ENOUGH_LAYERS} layers, in a normalisation that is still as at the start. Not if training moved a bias "
    "or a normalisation (unless all of these layers are orthonormal), nor if z finds structure in a layer "
    "that is too small to be judged."
)
"""What tells a network that was never trained."""
