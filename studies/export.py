"""The loss landscape of a real export, between its float weights and those of its quantised twins.

No published number is tried here: the claims are those that onnxtop's own pages make of `diff`, `trace` and
`probe`, on a public model that was trained elsewhere.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from studies import _twins
from studies._exports import STEPS, AtRest, Differs, Files, Line, Losses, OfFiles, OnSamples, Score, Sharp
from studies._numbers import grouped, mean, spearman, student, told
from studies._pages import Page, Picture, joined, table
from studies._records import Record
from studies._twins import BITS, RUNTIME

NUMBER = 7
KEPT = 0.99
"""Of the float model's accuracy: what a twin has to keep, as in the MLPerf Inference benchmark."""


SHARP = ("float", "int8 per tensor", "int4 per tensor")


def runs(quick: bool = False) -> list[Any]:
    """Return the losses of each part of the samples, what files tell, and how sharp the loss is."""
    if quick:
        return [Losses("sample", 0, 40), Losses("sample", 1, 40), Files("sample", 10, 16)]
    losses = [Losses("magika", part, 59) for part in range(5)]
    return [*losses, Files("magika", 16), *(Sharp("magika", twin, 24) for twin in SHARP)]


@dataclass(frozen=True)
class Seen:
    """All records, by what they are of."""

    parts: tuple[OnSamples, ...]
    files: OfFiles | None
    sharp: tuple[tuple[Sharp, AtRest], ...]

    @property
    def twins(self) -> list[str]:
        """Names of twins whose loss is known, in order."""
        return list(dict.fromkeys(score.twin for part in self.parts for score in part.scores))

    def family(self, twin: str) -> str:
        return next(s.family for part in self.parts for s in part.scores if s.twin == twin)

    def scores(self, twin: str) -> list[Score]:
        """Return the scores of a twin, one a part of the samples."""
        return [score for part in self.parts for score in part.scores if score.twin == twin]

    def rise(self, twin: str) -> list[float]:
        """Return by how much the loss is above that of the float model."""
        pairs = zip(self.scores(twin), self.scores("float"), strict=True)
        return [own.loss - old.loss for own, old in pairs]

    def gain(self, twin: str) -> list[float]:
        """Return by how many points the accuracy is above that of the float model."""
        pairs = zip(self.scores(twin), self.scores("float"), strict=True)
        return [100 * (own.accuracy - old.accuracy) for own, old in pairs]

    def kept(self, twin: str) -> str:
        """Tell whether a twin keeps enough of the accuracy, as far as parts of the samples agree."""
        most = -100 * (1 - KEPT) * mean(score.accuracy for score in self.scores("float"))
        low, high = student(self.gain(twin))
        return "keeps" if low >= most else "fails" if high < most else "unsure"

    def fails(self, twin: str) -> bool:
        """Tell whether a twin surely keeps too little."""
        return self.kept(twin) == "fails"

    @property
    def differs(self) -> dict[str, Differs]:
        """What files tell, by twin; without the float model, which has no layer to compare."""
        return {each.twin: each for each in self.files.twins if each.changed} if self.files else {}

    @property
    def both(self) -> list[str]:
        """Twins of which files and losses are known."""
        return [twin for twin in self.twins if twin in self.differs]


def seen(records: Sequence[Record]) -> Seen:
    """Return records by what they are of."""
    results = [(record.run, record.result) for record in records]
    files = [result for run, result in results if isinstance(run, Files)]
    return Seen(
        tuple(result for run, result in results if isinstance(run, Losses)),
        files[0] if files else None,
        tuple((run, result) for run, result in results if isinstance(run, Sharp)),
    )


def decibels(change: float) -> float:
    """Return a relative change as a signal-to-noise ratio."""
    return -20 * math.log10(change) if change > 0 else math.nan


def largest_change(view: Seen, twin: str) -> float:
    return max(view.differs[twin].changed)


def whole_change(view: Seen, twin: str) -> float:
    """Return the root of the mean square of the layers' changes."""
    return math.sqrt(mean(each**2 for each in view.differs[twin].changed))


def np_moved(view: Seen, twin: str) -> float:
    """Return how far mean NP is from that of the float model."""
    assert view.files is not None
    return abs(mean(view.differs[twin].np) - view.files.traced[0].np)


def dgp_moved(view: Seen, twin: str) -> float:
    assert view.files is not None
    return abs(view.differs[twin].dgp - view.files.traced[0].dgp)


def furthest(view: Seen, twin: str) -> float:
    return max(view.differs[twin].bottleneck)


def tree_lost(view: Seen, twin: str) -> float:
    return 1 - min(view.differs[twin].kept)


Figure = Callable[[Seen, str], float]
FIGURES: Mapping[str, Figure] = {
    "change of the layer that changed most (SNR)": largest_change,
    "change, mean over layers": whole_change,
    "mean NP, how far it moved": np_moved,
    "DGP, how far it moved": dgp_moved,
    "bottleneck distance of the layer that moved most": furthest,
    "share of the spanning tree that is lost": tree_lost,
}
"""What files alone tell of a twin: the higher, the worse it should be."""
GROUPS: Mapping[str, tuple[str, ...]] = {
    "all layers rounded": ("tensor", "channel"),
    "one layer rounded": ("alone",),
    "in plain floats, all": ("tensor", "channel", "alone", "noise", "planted"),
}


def page(records: Sequence[Record], expected: int) -> Page:
    """Return the page."""
    view = seen(records)
    if not view.parts:
        return Page(joined(TITLE, "export", [CLAIM], records, expected))
    pictures = (along_lines(view), over_bits(view))
    parts = [
        CLAIM,
        set_up(records, view),
        "## The way from float to int8 and beyond",
        verdict_on_lines(view),
        lines_of(view),
        pictures[0].link,
        LINES_READ,
        sharpness_of(view),
        "## Fewer and fewer bits",
        verdict_on_bits(view),
        ladder(view),
        pictures[1].link,
        LADDER_READ,
        "## What tells the damage from the file alone",
        verdict_on_figures(view),
        correlations(view),
        "## What `diff` and `check` say",
        verdict_on_tolerance(view),
        verdicts(view),
        "## Which layer it is",
        verdict_on_layers(view),
        by_layer(view),
        "## What onnxruntime makes of it",
        verdict_on_runtime(view),
        by_runtime(view),
        meaning(view),
    ]
    return Page(joined(TITLE, "export", parts, records, expected), pictures)


TITLE = "A real export and its quantised twins"

CLAIM = """
## Claim

No published number is tried here; the claims are onnxtop's own, on a model that was trained and exported
elsewhere. [`diff`](../diff.md) calls a change of the weights of up to a tenth of their norm, 20 dB, within
the tolerance, says that what rounding does to activations cannot be read off a file, and measures it
where it is given data. The [questions](../faq.md) say that the layer with the lowest signal-to-noise
ratio is where to look when accuracy fell. NP and DGP are said to see weights, not accuracy. Asked
besides: is there a barrier of the loss between float and int8 weights, and is the loss sharper at one of
them?
"""

LINES_READ = """
The line goes from the float weights, at 0, through the twin, at 1. *Barrier* is by how much the loss between
them is above the higher end, none if that is below 1 % of the float model's loss. *Curvature* is the second
derivative along the unit direction, from steps -1, 0 and 1. Spreads are standard deviations over parts of the
samples that share none.
"""

LADDER_READ = """
Weights are rounded on a symmetric grid, with one step for each tensor or for each output, and stay floats, so
that activations are not rounded. *SNR* is that of the layer that changed most. *Same class* is the share of
samples with the class that the float model gives. NP, DGP and *moved* are `onnxtop.trace`'s, over the
twins per tensor as if they were checkpoints.
"""


def meaning(view: Seen) -> str:
    """Return what it means for a user, as far as the records go."""
    said = []
    if view.both:
        passed = [twin for twin in view.both if view.differs[twin].passes]
        missed = [twin for twin in passed if view.fails(twin)]
        word = "let no twin pass that surely fails" if not missed else f"let {len(missed)} failing twins pass"
        stopped = [twin for twin in view.both if twin not in passed and view.kept(twin) == "keeps"]
        said.append(
            f"The tolerance of `diff` {word}, and stopped {len(stopped)} that surely keep their accuracy: "
            "what it stops is worth a look and not always bad"
        )
        hidden = [
            twin
            for twin in view.both
            if view.family(twin) == "runtime" and view.fails(twin) and largest_change(view, twin) <= 0.1
        ]
        if hidden:
            said.append(
                f"The change of the weights does not tell that *{' and '.join(hidden)}* is bad, since "
                f"activations broke it{stopped_all_the_same(view, hidden)}: a build that quantises needs "
                "`diff float.onnx int8.onnx --data samples.npz`, for which a few samples without labels are "
                "enough"
            )
        twins = [twin for twin in view.both if view.family(twin) in GROUPS["in plain floats, all"]]
        change, np_, dgp = (
            mean(_ranked(view, twins, figure)) for figure in (whole_change, np_moved, dgp_moved)
        )
        if math.isfinite(change + np_ + dgp):
            word = "below" if max(np_, dgp) < change else "not below"
            said.append(
                f"NP ({np_:.2f}) and DGP ({dgp:.2f}) rank twins {word} the plain change of the weights "
                f"({change:.2f})"
            )
    if view.files:
        said.append(
            f"A row of ever fewer bits is no training: the verdict of `trace` on it ({view.files.course}) is "
            "not to be read as one"
        )
    return f"## What it means for a user\n\n{'. '.join(said)}."


def stopped_all_the_same(view: Seen, twins: Sequence[str]) -> str:
    """Return whether `check` stops what the change of the weights does not show."""
    return " (`check` stops it all the same)" if all(view.differs[twin].stopped for twin in twins) else ""


def set_up(records: Sequence[Record], view: Seen) -> str:
    """Return what was measured."""
    runs = [record.run for record in records if isinstance(record.run, Losses)]
    data = "; ".join(sorted({part.source for part in view.parts}))
    layers = f" It has {len(view.files.layers)} weighted layers." if view.files else ""
    samples = sum(run.samples for run in runs)
    unseen = 100 * 3 / samples
    types = (
        " Each file is of the type that its suffix says, at most ten of a type; the model tells it from the "
        "first and last 1,024 bytes."
        if any(run.data == "magika" for run in runs)
        else ""
    )
    return f"""
## Set-up

Measured on: {data}.{layers}{types} The loss is cross-entropy, on parts of the samples ({len(runs)} parts of
{runs[0].samples}). That of the float model is {told((s.loss for s in view.scores("float")), 3)}, its accuracy
{told((100 * s.accuracy for s in view.scores("float")), 1)} %. Twins have all weights rounded, those of one
layer, noise of the length of the rounding, a planted fault, or are what onnxruntime's own quantisers write. A
twin fails here if it keeps less than {100 * KEPT:.0f} % of the float model's accuracy, the mark of the MLPerf
Inference benchmark, surely if the whole interval (95 %, Student's, over parts) of its fall lies beyond that,
and surely keeps it if none does. Where no sample changed its class, a loss of up to {unseen:.1f} points in
others would still be likely enough to go unseen (3 of {samples}, the rule of three).
Measured by `onnxtop.Probe`, `onnxtop.probe`, `onnxtop.diff`, `onnxtop.check` and `onnxtop.trace`.
"""


def lines(view: Seen) -> dict[str, list[Line]]:
    """Return lines by twin, one a part of the samples."""
    return grouped((line for part in view.parts for line in part.lines), lambda line: line.twin)


def lines_of(view: Seen) -> str:
    """Return the loss along lines."""
    steps = sorted({0.0, 1.0, *STEPS})
    rows = [
        [
            twin,
            f"{own[0].length:.2f}",
            *(told((line.at(step) for line in own), 3) for step in steps),
            told((line.barrier for line in own), 4),
            told((line.curvature for line in own), 5),
        ]
        for twin, own in lines(view).items()
    ]
    head = ["to", "length", *(f"at {step:g}" for step in steps), "barrier", "curvature"]
    return table(head, rows)


def verdict_on_lines(view: Seen) -> str:
    """Return whether there is a barrier, and where the loss is lowest."""
    said = []
    for twin, own in lines(view).items():
        high = max(line.barrier for line in own)
        share = high / mean(line.at(0.0) for line in own)
        between = "no barrier" if share < 0.01 else f"a barrier of up to {high:.3f}"
        below = sum(line.lowest != 0 for line in own)
        said.append(
            f"to {twin} {between}, and the loss is lowest off the float weights in {below} of {len(own)} "
            f"parts"
        )
    return f"On the straight line from the float weights: {'; '.join(said)}."


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def sharpness_of(view: Seen) -> str:
    """Return how sharp the loss is at float weights and at twins."""
    if not view.sharp:
        return ""
    rows = [
        [
            run.twin,
            f"{rest.loss:.4f}",
            f"{rest.gradient_norm:.3f}",
            f"{rest.sharpness:.2f}" if rest.converged else f"above {rest.sharpness:.2f}",
            f"{rest.products}",
        ]
        for run, rest in view.sharp
    ]
    values = [rest.sharpness for _, rest in view.sharp if math.isfinite(rest.sharpness)]
    alike = bool(values) and max(values) <= 1.2 * min(values)
    word = "much the same at all of them" if alike else "not the same at all of them"
    said = (
        f"The largest eigenvalue of the Hessian, on {view.sharp[0][0].samples} samples by `onnxtop.probe`, "
        f"is {word}. A gradient that is far from 0 says that the model does not rest on these samples."
    )
    return f"{said}\n\n{table(['at', 'loss', 'gradient', 'largest eigenvalue', 'products'], rows)}"


def ladder(view: Seen) -> str:
    """Return a row for each number of bits and grid."""
    traced = {each.twin: each for each in view.files.traced} if view.files else {}
    rows = []
    for twin in view.twins:
        if view.family(twin) not in ("float", "tensor", "channel"):
            continue
        step, changed = traced.get(twin), view.differs.get(twin)
        rows.append([
            twin,
            _figure(decibels(max(changed.changed)) if changed else math.nan, 1),
            _figure(step.np if step else math.nan, 4),
            _figure(step.dgp if step else math.nan, 4),
            _figure(step.moved if step else math.nan, 3),
            told((each.loss for each in view.scores(twin)), 3),
            told((100 * each.accuracy for each in view.scores(twin)), 1, " %"),
            told((100 * each.same for each in view.scores(twin)), 1, " %"),
        ])  # fmt: skip
    return table(["twin", "SNR dB", "NP", "DGP", "moved", "loss", "accuracy", "same class"], rows)


def _figure(value: float, digits: int) -> str:
    return f"{value:.{digits}f}" if math.isfinite(value) else "-"


def verdict_on_bits(view: Seen) -> str:
    """Return what int8 costs, where accuracy breaks, and what the trace says of it."""
    said = []
    for axis in ("tensor", "channel"):
        own = [f"int{bits} per {axis}" for bits in BITS]
        known = [twin for twin in own if twin in view.twins]
        broken = [twin for twin in known if view.fails(twin)]
        if not known:
            continue
        said.append(
            f"{known[0]} changes the loss by {told(view.rise(known[0]), 4)} and the accuracy "
            f"by {told(view.gain(known[0]), 1)} points; the first that surely "
            f"fails is {broken[0] if broken else 'none of them'}"
        )
    trace = f" `onnxtop.trace` says of the row: {view.files.sentence}." if view.files else ""
    return f"{'. '.join(map(_capital, said))}.{trace}"


def correlations(view: Seen) -> str:
    """Return how figures of files go with the rise of the loss."""
    groups = {
        name: [twin for twin in view.both if view.family(twin) in families]
        for name, families in GROUPS.items()
    }
    rows = [
        [name, *(told(_ranked(view, twins, figure)) if twins else "-" for twins in groups.values())]
        for name, figure in FIGURES.items()
    ]
    return table(["figure", *(f"{name} ({len(twins)})" for name, twins in groups.items())], rows)


def _ranked(view: Seen, twins: Sequence[str], figure: Figure) -> list[float]:
    """Return the rank correlation of a figure and the rise of the loss, one a part of the samples."""
    figures = [figure(view, twin) for twin in twins]
    rises = [view.rise(twin) for twin in twins]
    return [spearman(figures, part) for part in zip(*rises, strict=True)]


def verdict_on_figures(view: Seen) -> str:
    """Return which figure ranks twins best, and how the topological ones do beside it."""
    twins = [twin for twin in view.both if view.family(twin) in GROUPS["in plain floats, all"]]
    ranks = {name: mean(_ranked(view, twins, figure)) for name, figure in FIGURES.items()}
    held = {name: value for name, value in ranks.items() if math.isfinite(value)}
    if not held:
        return ""
    best = max(held, key=lambda name: held[name])
    said = []
    for bits in (4, 3):
        pair = f"int{bits} per tensor", f"noise as of int{bits}"
        if set(pair) <= set(view.twins):
            costs = (told(view.rise(twin), 3) for twin in pair)
            said.append(f"rounding to {bits} bits raises the loss by {' and noise by '.join(costs)}")
    return (
        f"Spearman's correlation of what the file tells with the rise of the loss. Over all twins in plain "
        f"floats the best is *{best}* ({held[best]:.2f}). Changes of one length: "
        f"{'; '.join(said) or 'none was tried'}."
    )


def verdicts(view: Seen) -> str:
    """Return what is said of each twin, and what became of it."""
    rows = []
    for twin in view.both:
        own = view.differs[twin]
        rows.append([
            twin,
            f"{100 * max(own.changed):.1f} %",
            own.verdict,
            "fails" if own.stopped else "passes",
            " ".join(own.rules) or "-",
            told(view.rise(twin), 3),
            told(view.gain(twin), 1),
            view.kept(twin),
        ])  # fmt: skip
    head = ["twin", "largest change", "diff", "check", "rules", "loss, rise", "accuracy, points", "99 %"]
    return table(head, rows)


def verdict_on_tolerance(view: Seen) -> str:
    """Return how the verdict of diff goes with what became of accuracy, in plain floats."""
    twins = [twin for twin in view.both if view.family(twin) != "runtime"]
    passed = [twin for twin in twins if view.differs[twin].passes]
    others = [twin for twin in twins if twin not in passed]
    missed = [twin for twin in passed if view.fails(twin)]
    right = [twin for twin in others if view.fails(twin)]
    worst = max((mean(view.rise(twin)) for twin in passed), default=math.nan)
    named = f" ({', '.join(missed)})" if missed else ""
    failing = [twin for twin in twins if view.fails(twin)]
    keeping = [twin for twin in twins if view.kept(twin) == "keeps"]
    doubtful = [sum(view.kept(twin) == "unsure" for twin in group) for group in (passed, others)]
    return (
        f"Of {len(twins)} twins in plain floats `diff` passes {len(passed)}: {len(missed)} surely "
        f"fail{named}, of {doubtful[0]} these samples cannot tell; their loss rises by at most "
        f"{_figure(worst, 3)}. It stops {len(others)}: {len(right)} surely fail, of {doubtful[1]} one cannot "
        f"tell, the rest keep their accuracy. The smallest change that surely fails is that of "
        f"{_extreme(view, failing, min)}, the largest that surely keeps it that of "
        f"{_extreme(view, keeping, max)}. *Rules* are findings of `check`, "
        f"with the float model as the baseline, that the float model has not by itself."
    )


def _extreme(view: Seen, twins: Sequence[str], which: Callable[..., str]) -> str:
    """Return the twin whose largest change is the smallest, or the largest, with its SNR."""
    if not twins:
        return "none"
    found = which(twins, key=lambda twin: largest_change(view, twin))
    return f"{found}, {_figure(decibels(largest_change(view, found)), 1)} dB"


def by_layer(view: Seen) -> str:
    """Return what rounding one layer costs."""
    rows = []
    for bits in _twins.ALONE:
        for layer in range(len(view.files.layers) if view.files else 0):
            twin = f"int{bits} in layer {layer + 1}"
            if twin in view.both:
                snr = decibels(max(view.differs[twin].changed))
                costs = told(view.rise(twin), 3), told(view.gain(twin), 1)
                rows.append([f"{bits}", f"{layer + 1}", f"{snr:.1f}", *costs])
    return table(["bits", "layer", "SNR dB", "loss, rise", "accuracy, points"], rows) if rows else ""


def verdict_on_layers(view: Seen) -> str:
    """Return whether the layer with the lowest SNR is the one that costs most."""
    tried, right, chance = 0, 0, 0.0
    for bits in _twins.ALONE:
        own = [twin for twin in view.both if twin.startswith(f"int{bits} in layer")]
        if len(own) < 2:
            continue
        for rises in zip(*(view.rise(twin) for twin in own), strict=True):
            tried += 1
            chance += 1 / len(own)
            right += max(own, key=lambda twin: largest_change(view, twin)) == own[int(np.argmax(rises))]
    if not tried:
        return ""
    held = 3 * right > 2 * tried
    word = "mostly is" if held else "often is not"
    return (
        f"One layer was rounded at a time, and the others were left. The layer with the lowest "
        f"signal-to-noise ratio {word} the one that costs most: in {right} of {tried} cases, bits and parts "
        f"of the samples taken one by one (by chance in {chance:.0f}; parts share their twins, so cases are "
        "not independent)."
    )


def by_runtime(view: Seen) -> str:
    """Return what onnxruntime's own twins, and some in plain floats, are said to be and are."""
    rows = []
    for ran in view.files.ran if view.files else ():
        before = view.differs.get(ran.twin)
        rows.append([
            ran.twin,
            f"{100 * max(before.changed):.1f} %" if before else "-",
            before.verdict if before else "-",
            ran.verdict,
            f"{100 * ran.relative:.1f} %" if math.isfinite(ran.relative) else "-",
            f"{100 * ran.top:.0f} %" if math.isfinite(ran.top) else "-",
            ran.parting.rpartition("/")[2] and f"`{_short(ran.parting)}`",
            told(view.rise(ran.twin), 3),
            told(view.gain(ran.twin), 1),
        ])  # fmt: skip
    head = [
        "twin",
        "largest change",
        "diff",
        "diff with samples",
        "outputs differ",
        "same class",
        "part at",
        "loss, rise",
        "accuracy, points",
    ]
    return table(head, rows) if rows else ""


def _short(place: str) -> str:
    """Return an operation and the last two parts of its node's name."""
    op_type, _, name = place.partition(" ")
    return f"{op_type} {'/'.join(name.split('/')[-2:])}"


def verdict_on_runtime(view: Seen) -> str:
    """Return whether a run tells what files cannot."""
    if not view.files:
        return ""
    ran = [each for each in view.files.ran if each.twin in RUNTIME and each.twin in view.both]
    said = []
    for each in ran:
        became = {"fails": "fails", "keeps": "keeps its accuracy"}.get(view.kept(each.twin), "may fail")
        change = 100 * max(view.differs[each.twin].changed)
        said.append(
            f"*{each.twin}*, whose weights changed by at most {change:.1f} %, {became}: `diff` says "
            f"{view.differs[each.twin].verdict}, and {each.verdict} once both were run"
        )
    sure = [each for each in ran if view.kept(each.twin) != "unsure"]
    agree = sum((each.verdict == "CHANGED") == view.fails(each.twin) for each in sure)
    return (
        f"The twins of onnxruntime round activations too. {'. '.join(said)}. With a run the verdict and "
        f"accuracy agree in {agree} of the {len(sure)} that these samples can tell of."
    )


def along_lines(view: Seen) -> Picture:
    """Draw the loss along lines, less that of the float model."""

    def draw(figure: Any) -> None:
        held = lines(view)
        for axes, (twin, own) in zip(np.ravel(figure.subplots(1, len(held))), held.items(), strict=True):
            for line in own:
                kept = [(step, loss) for step, loss in zip(line.steps, line.losses, strict=True) if step <= 2]
                axes.plot(
                    [step for step, _ in kept], [loss - line.at(0.0) for _, loss in kept], ".-", lw=1, ms=4
                )
            axes.axvline(1, color="#90a4ae", lw=0.8, ls=":")
            axes.set(title=twin, xlabel="step")
        np.ravel(figure.axes)[0].set_ylabel("loss above that of float")

    return Picture(
        "export-lines",
        "The loss along lines from the float weights, a part of the samples each",
        (7, 2.6),
        draw,
    )


def over_bits(view: Seen) -> Picture:
    """Draw accuracy over bits, and NP beside it."""

    def draw(figure: Any) -> None:
        first, second = figure.subplots(1, 2)
        for axis in ("tensor", "channel"):
            own = [(bits, f"int{bits} per {axis}") for bits in BITS if f"int{bits} per {axis}" in view.twins]
            places = [bits for bits, _ in own]
            first.plot(
                places,
                [100 * mean(s.accuracy for s in view.scores(twin)) for _, twin in own],
                ".-",
                label=axis,
            )
            figures = [mean(view.differs[twin].np) if twin in view.differs else math.nan for _, twin in own]
            second.plot(places, figures, ".-", label=axis)
        first.set(title="accuracy, %", xlabel="bits")
        second.set(title="mean NP", xlabel="bits")
        for axes in (first, second):
            axes.invert_xaxis()
        first.legend()

    return Picture("export-bits", "Accuracy and mean NP over the bits of weights", (7, 2.6), draw)
