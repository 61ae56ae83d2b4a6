"""What the formats for people say about a landscape, in plain words and before any markup."""

from collections.abc import Sequence

from onnxtop.render.names import without_common_ends
from onnxtop.render.text import figure
from onnxtop.results.headline import Headline, Tone
from onnxtop.results.landscape import LossLandscape, Minimum, Pass, Top
from onnxtop.results.words import counted


def verdict(landscape: LossLandscape) -> Headline:
    """Say in plain words what stands between the minima, and whether they are any."""
    score, count = landscape.score, len(landscape.minima)
    odd = sum(minimum.reason is not None for minimum in landscape.minima)
    rise = bounded(score.mean, score.mean_most, score.bound, "at most")
    told = [
        "1 minimum" if count == 1 else f"{count:,} minima",
        *([] if score.mean is None else [f"from one to a lower one the loss rises by {rise} on average"]),
        *([f"no minimum: {odd:,} of {count:,}"] if odd else []),
        *([] if landscape.complete else ["incomplete"]),
    ]
    sure = landscape.complete and not odd and score.mean is not None
    return Headline(Tone.GOOD if sure else Tone.DOUBT, "; ".join(told))


def at_most(value: float | None, sign: str = "<=") -> str:
    """Write an upper bound.

    >>> at_most(0.12345), at_most(None), at_most(1.5e-6)
    ('<= 0.1235', 'not known', '<= 1.5e-06')
    """
    return "not known" if value is None else f"{sign} {small(value)}"


def bounded(value: float | None, most: float | None, bound: str | None, sign: str = "<=") -> str:
    """Write a length or a score with what is known of it.

    >>> bounded(0.12345, 0.12346, "upper"), bounded(0.12345, 0.2, "interval"), bounded(0.12345, None, "none")
    ('<= 0.1235', '0.1235 .. 0.2000', '0.1235')
    """
    if bound == "upper" or value is None:
        return at_most(value, sign)
    return small(value) if bound == "none" or most is None else f"{small(value)} .. {small(most)}"


def endless(landscape: LossLandscape) -> str:
    """Say that the loss falls for ever from some points, and what to do; nothing if it does from none."""
    count = sum(minimum.verdict == "falls for ever" for minimum in landscape.minima)
    if not count:
        return ""
    return (
        f"{count} of {len(landscape.minima)} points are no minima: from there the loss falls for ever as the "
        "weights grow. Their bars are not bars between minima; weight decay (--l2) or label smoothing "
        "(--label-smoothing) gives the loss a bottom"
    )


def small(value: float | None, undefined: str = "") -> str:
    """Write a loss with four decimals, or two digits if it is smaller than they show."""
    if value is not None and 0 < abs(value) < 5e-4:
        return f"{value:.1e}"
    return figure(value, undefined)


def above(minimum: Minimum) -> str:
    """Say how far the point as it came lay above where polishing took it."""
    return f"+{small(minimum.given_loss - minimum.loss)}" if minimum.moved else ""


def length(minimum: Minimum) -> str:
    """Write how long the bar of a minimum is; nothing if it never ends."""
    if minimum.length is None:
        return ""
    return bounded(minimum.length, minimum.length_most, minimum.bound)


def at_top(item: Pass) -> str:
    """Say what the highest point of a path was shown to be.

    >>> at_top(Pass("a", "b", "neb", 0.5, 0.6, 9, 9, True, Top.SADDLE, 2e-6, -0.3, 0.1, (), ()))
    'pass: gradient 2e-06, one direction down'
    """
    words = _AT_TOP[item.top]
    if item.top is Top.SADDLE and (item.second_curvature or 0) < 0:
        words = words.replace("one direction", "two directions or more")
    gradient = "" if item.gradient_norm is None else f"gradient {item.gradient_norm:.0e}"
    return words.format(gradient=gradient).removesuffix("; ")


_AT_TOP = {
    Top.SADDLE: "pass: {gradient}, one direction down",
    Top.FLAT: "flat: {gradient}, no direction down",
    Top.LEVEL: "no barrier: its height is that of the higher end",
    Top.BUDGET: "not refined, budget out; {gradient}",
    Top.STUCK: "not refined, stuck: no step leads on; {gradient}",
    Top.BESIDE: "not refined, the pass is beside: paths through it are higher; {gradient}",
    Top.UNREFINED: "not refined",
}


def short_names(names: Sequence[str]) -> dict[str, str]:
    """Return what tells the minima apart, without the folders and the suffix they share.

    >>> short_names(["a/seed_1.onnx", "a/seed_2.onnx", "seed 7"])
    {'a/seed_1.onnx': 'seed_1', 'a/seed_2.onnx': 'seed_2', 'seed 7': 'seed 7'}
    """
    files = [name for name in names if name.endswith(".onnx")]
    stems = [name.rpartition("/")[2].removesuffix(".onnx") for name in files]
    if len(set(stems)) < len(files) or set(stems) & (set(names) - set(files)):
        stems = without_common_ends(files)
    return {**{name: name for name in names}, **dict(zip(files, stems, strict=True))}


def described(landscape: LossLandscape) -> list[str]:
    """Say in phrases what the figures depend on."""
    phrases = [
        f"{landscape.loss} on {counted(landscape.samples, 'sample')}",
        counted(landscape.parameters, "parameter"),
        f"batchnorm {landscape.batchnorm}",
        f"finder {landscape.finder}, pairs {landscape.pairs}",
        f"aligned ({counted(landscape.units, 'unit')})" if landscape.aligned else "not aligned",
        f"seed {landscape.seed}",
    ]
    if landscape.l2:
        phrases.append(f"l2 {landscape.l2:g}")
    if landscape.label_smoothing:
        phrases.append(f"label smoothing {landscape.label_smoothing:g}")
    if landscape.budget is not None:
        phrases.append(f"budget {landscape.budget}")
    return phrases


def scored(landscape: LossLandscape) -> list[str]:
    """Say the TO-score with its bound, its N and its method."""
    score = landscape.score
    aligned = ", aligned" if landscape.aligned else ""
    how = f"N = {score.n_minima} minima, {landscape.finder}{aligned}, {BOUNDS[score.bound]}"

    def written(name: str) -> str:
        return bounded(getattr(score, name), getattr(score, f"{name}_most"), score.bound)

    parts = [f"longest {written('longest')}", f"sum {written('total')}"]
    if score.scale_free is not None:
        parts.append(f"scale-free {written('scale_free')}")
    if score.direct_mean is not None and landscape.pairs != "direct":
        parts.append(f"by direct pairs {written('direct_mean')}")
    return [
        f"TO-score {written('mean')}  ({how})",
        ", ".join(parts),
        "TO-score is onnxtop's own reading of the papers: the mean length of the finite bars",
    ]


BOUNDS = {"upper": "upper bound", "interval": "upper bound but for the births", "none": "no bound"}
"""What is known of a length or a score, by the ``bound`` of a result."""
