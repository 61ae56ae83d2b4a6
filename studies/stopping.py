"""Neural persistence tells when to stop training.

Claim of Rieck et al. (2019), section 4.2: stopping when NP no longer rises needs no validation data, and
loses little against stopping when the validation loss no longer falls.
"""

import itertools
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import onnxtop
from studies import regularisation
from studies._course import PER_EPOCH, TRACED, Course, Result
from studies._numbers import between, grouped, mean, place, student, told
from studies._pages import Page, Picture, joined, sources, table
from studies._records import Record

NUMBER = 2
PATIENCE = (1, 2, 4, 8, 12, 16, 20, 24, 32, 40)
BURN_IN = (0, 4, 8, 12, 16, 20, 24, 32, 40)
"""In checks of a quarter epoch."""
PUBLISHED = (
    ("MNIST, MLP", 0.17, -0.06),
    ("Fashion-MNIST, MLP", -0.53, -0.08),
    ("CIFAR-10, CNN", -1.33, -1.13),
    ("IMDB, MLP", -1.68, 0.07),
)
"""Barycentres: epochs and accuracy in points, NP minus validation loss."""
Kind: TypeAlias = tuple[str, int, str]
Usual: TypeAlias = Mapping[tuple[Kind, tuple[int, int]], int]

RELIABLE = 0.75
"""In so many runs both rules have to fire, for a pair of patience and burn-in to count."""


def runs(quick: bool = False) -> list[Course]:
    """Return the networks of the study of regularisation, and small CNNs."""
    shared = regularisation.runs(quick)
    if quick:
        return shared + [Course("digits", "cnn", "plain", seed, (6, 8), 320, 0, 16) for seed in range(2)]
    return shared + [Course("mnist", "cnn", "plain", seed, (16, 32), 10000) for seed in range(5)]


@dataclass(frozen=True)
class Stop:
    """Where two rules of one patience and burn-in stop a run; NaN where one never fires.

    ``epochs`` and ``accuracy`` (in points) are those of NP minus those of the loss. ``fixed`` is the same
    accuracy where all networks of the kind stop at the mean of NP's checks, and ``blind`` that of a rule that
    stops when burn-in and patience are over, whatever happens.
    """

    patience: int
    burn_in: int
    seed: int
    fired: bool
    fired_loss: bool
    epochs: float
    accuracy: float
    fixed: float
    blind: float

    @property
    def both(self) -> bool:
        """Whether there is something to compare."""
        return self.fired and self.fired_loss


def stopped_at(values: Sequence[float], patience: int, burn_in: int) -> int | None:
    """Return the check where the rule of the paper stops, by onnxtop's own."""
    rule = onnxtop.StoppingRule(onnxtop.StoppingOptions(patience=patience, burn_in=burn_in))
    for each in values:
        rule.update(each)
    return rule.stopped_at


def stop(run: Course, result: Result, patience: int, burn_in: int, usual: int | None = None) -> Stop:
    """Return where both rules stop; ``usual`` is where networks of the kind do by NP on the average."""
    ours = stopped_at(result.np, patience, burn_in)
    theirs = stopped_at([math.exp(-loss) for loss in result.valid_loss], patience, burn_in)  # falls: rises
    accuracy = [100 * each for each in result.test_accuracy]

    def over_loss(check: int | None) -> float:
        return math.nan if check is None or theirs is None else accuracy[check] - accuracy[theirs]

    return Stop(
        patience,
        burn_in,
        run.seed,
        ours is not None,
        theirs is not None,
        math.nan if ours is None or theirs is None else (ours - theirs) / PER_EPOCH,
        over_loss(ours),
        over_loss(usual),
        over_loss(min(burn_in + patience, len(accuracy) - 1)),
    )


def rules(result: Result) -> list[tuple[int, int]]:
    """Return patience and burn-in of all rules that fit into a run."""
    pairs = itertools.product(PATIENCE, BURN_IN)
    return [(patience, burn_in) for patience, burn_in in pairs if patience + burn_in < len(result.np)]


def grid(records: Sequence[Record], usual: Usual | None = None) -> list[Stop]:
    """Return all runs under all rules."""
    return [
        stop(each.run, each.result, *rule, (usual or {}).get((kind_of(each.run), rule)))
        for each in records
        for rule in rules(each.result)
    ]


def kind_of(run: Course) -> Kind:
    """Return what runs have in common for which one number of epochs may do."""
    return run.data, run.shift, run.network


def usual_checks(records: Sequence[Record]) -> Usual:
    """Return NP's mean check, by kind and rule, over all networks that it stops."""
    found = [
        ((kind_of(each.run), rule), stopped_at(each.result.np, *rule))
        for each in records
        for rule in rules(each.result)
    ]
    checks = grouped([(key, check) for key, check in found if check is not None], lambda each: each[0])
    return {key: round(mean(check for _, check in those)) for key, those in checks.items() if len(those) > 1}


def counted(stops: Sequence[Stop]) -> list[Stop]:
    """Return those of rules that both fire reliably, where they did."""
    rules = grouped(stops, lambda each: (each.patience, each.burn_in)).values()
    reliable = (own for own in rules if mean(float(each.both) for each in own) >= RELIABLE)
    return [each for own in reliable for each in own if each.both]


def name_of(run: Course) -> str:
    """Return what a group of runs is called."""
    if run.network == "cnn":
        return f"{run.data}, CNN"
    return f"{run.data}{', moved' if run.shift else ''}, {regularisation.NAMES[run.condition]}"


def by_seed(stops: Sequence[Stop], figure: Callable[[Stop], float]) -> list[float]:
    """Return the mean of a figure over the rules that count, for each seed: barycentres are of these."""
    return [mean(map(figure, own)) for own in grouped(counted(stops), lambda each: each.seed).values()]


FIGURES: Mapping[str, Callable[[Stop], float]] = {
    "epochs": lambda each: each.epochs,
    "accuracy, points": lambda each: each.accuracy,
    "at NP's mean epoch": lambda each: each.fixed,
    "looking at nothing": lambda each: each.blind,
}


def barycentres(stops: Mapping[str, Sequence[Stop]]) -> str:
    """Return the barycentre of each group."""
    lines = []
    for name, own in stops.items():
        lines.append([
            name,
            f"{len({each.seed for each in own})}",
            f"{100 * mean(float(each.fired) for each in own):.0f} %",
            f"{100 * mean(float(each.fired_loss) for each in own):.0f} %",
            f"{len(pairs(counted(own)))} of {len(pairs(own))}",
            *(told(by_seed(own, figure), 2) for figure in FIGURES.values()),
        ])  # fmt: skip
    return table(["networks", "runs", "NP fires", "loss fires", "rules counted", *FIGURES], lines)


def pairs(stops: Sequence[Stop]) -> set[tuple[int, int]]:
    """Return patience and burn-in of the rules among them."""
    return {(each.patience, each.burn_in) for each in stops}


def examples(stops: Mapping[str, Sequence[Stop]]) -> str:
    """Return some rules by themselves."""
    lines = []
    for name, own in stops.items():
        for rule in ((4, 0), (4, 8), (16, 0), (16, 16)):
            those = [each for each in own if (each.patience, each.burn_in) == rule]
            if not those:
                continue
            fired = (sum(getattr(each, key) for each in those) for key in ("fired", "fired_loss"))
            lines.append([
                name, *(f"{checks / PER_EPOCH:g}" for checks in rule),
                f"{' and '.join(map(str, fired))} of {len(those)}",
                told((each.epochs for each in those), 2),
                told((each.accuracy for each in those), 2),
            ])  # fmt: skip
    return table(
        ["networks", "patience, epochs", "burn-in, epochs", "NP and loss fire", "epochs", "accuracy, points"],
        lines,
    )


def traces(records: Sequence[Record]) -> str:
    """Return whether `onnxtop.trace` stopped where the rule on the figures of the record does."""
    same = 0
    for record in records:
        result = record.result
        at = stopped_at(result.np, TRACED.patience, TRACED.burn_in)
        same += result.stopped == ("" if at is None else f"step_{result.steps[at]}")
    return (
        f"`onnxtop.trace` itself was asked for a patience of {TRACED.patience} checks; in {same} of "
        f"{len(records)} runs it stops at the check that the rule gives on the rounded figures of the record."
    )


def picture(groups: Mapping[str, Sequence[Stop]]) -> Picture:
    """Draw differences of all rules, and their barycentres."""

    def draw(figure: Any) -> None:
        columns = min(4, len(groups))
        lines = -(-len(groups) // columns)
        panels = figure.subplots(lines, columns, squeeze=False, sharex=False).ravel()
        for axes, (name, own) in itertools.zip_longest(panels, groups.items(), fillvalue=(None, None)):
            if name is None:
                axes.set_axis_off()
                continue
            by_rule = grouped(counted(own), lambda each: (each.patience, each.burn_in)).values()
            points = [(mean(e.epochs for e in rule), mean(e.accuracy for e in rule)) for rule in by_rule]
            if points:
                axes.plot(*zip(*points, strict=True), ".", ms=4, color="C0", alpha=0.6)
                center = [mean(each) for each in zip(*points, strict=True)]
                axes.plot(*center, "+", ms=10, mew=2, color="C1")
            axes.axhline(0, color="#90a4ae", lw=0.8)
            axes.axvline(0, color="#90a4ae", lw=0.8)
            axes.set_title(name, fontsize=7)
        for axes in panels[max(len(groups) - columns, 0) : len(groups)]:  # the lowest of each column
            axes.set_xlabel("epochs")
        for axes in panels[::columns]:
            axes.set_ylabel("accuracy, points")

    alt = "NP against validation loss, epochs and accuracy: a dot for each rule, a cross for their mean"
    return Picture("stopping-grid", alt, (9, 1.1 + 1.7 * -(-len(groups) // 4)), draw)


def page(records: Sequence[Record], expected: int) -> Page:
    """Return the page."""
    published = table(
        ["published", "epochs", "accuracy, points"],
        [[name, f"{epochs:+.2f}", f"{accuracy:+.2f}"] for name, epochs, accuracy in PUBLISHED],
    )
    if not records:
        return Page(joined(TITLE, "stopping", [CLAIM, published], records, expected))
    groups = grouped(records, lambda record: name_of(record.run))
    usual = usual_checks(records)
    stops = {name: grid(own, usual) for name, own in groups.items()}
    drawn = picture(stops)
    parts = [
        CLAIM,
        published,
        set_up(records),
        "## Result",
        verdict(stops),
        moments(stops),
        agreement(stops),
        barycentres(stops),
        READ,
        drawn.link,
        "Four rules by themselves:",
        examples(stops),
        traces(records),
        MEANING,
    ]
    return Page(joined(TITLE, "stopping", parts, records, expected), (drawn,))


def verdict(stops: Mapping[str, Sequence[Stop]]) -> str:
    """Return what came out, in words."""
    said = []
    for name, own in stops.items():
        later, accuracy, fixed, blind = (mean(by_seed(own, figure)) for figure in FIGURES.values())
        if not math.isfinite(later):
            said.append(f"{name}: the two rules never fire together reliably")
            continue
        when = f"{abs(later):.1f} epochs {'earlier' if later < 0 else 'later'}"
        told_of = f"{name}: NP stops {when} than the loss, at {accuracy:+.2f} points"
        if math.isfinite(fixed):
            told_of += f"; {fixed:+.2f} if all such networks stop at its mean epoch ({sure(own)})"
        said.append(f"{told_of}; {blind:+.2f} if nothing is looked at")
    return "\n".join(f"- {each}." for each in said)


def moments(stops: Mapping[str, Sequence[Stop]]) -> str:
    """Return in how many kinds of networks NP's own choice of the moment wins something."""
    words = Counter(sure(own) for own in stops.values())
    if not words[BETTER] + words[WORSE] + words[UNSURE]:
        return ""
    kinds = f"{len(stops)} kinds of networks" if len(stops) > 1 else "one kind of network"
    return (
        f"Against one number of epochs for all, which is NP's own mean, NP's choice for each network is of "
        f"{kinds} surely better in {words[BETTER]} and surely worse in {words[WORSE]}."
    )


BETTER, WORSE, UNSURE = "NP is surely better", "NP is surely worse", "no sure difference"


def sure(stops: Sequence[Stop]) -> str:
    """Return in words whether NP finds the moment better than one for all; "" where there is none for all."""
    differences = by_seed(stops, lambda each: each.accuracy - each.fixed)
    if not math.isfinite(mean(differences)):
        return ""
    low, high = student(differences)
    return BETTER if low > 0 else WORSE if high < 0 else UNSURE


def agreement(stops: Mapping[str, Sequence[Stop]]) -> str:
    """Return what came out beside what was published, for networks like those of the paper."""
    lines = []
    for published, name in ((PUBLISHED[0], "mnist, moved, plain"), (PUBLISHED[2], "mnist, CNN")):
        if name not in stops:
            continue
        line = [f"{published[0]}, and here {name}"]
        for value, figure in zip(published[1:], list(FIGURES.values())[:2], strict=True):
            found = by_seed(stops[name], figure)
            ends = student(found)
            line += [f"{value:+.2f}", between(mean(found), ends), place(value, ends)]
        lines.append(line)
    if not lines:
        return ""
    head = ["networks", "epochs", "here", "published lies", "accuracy, points", "here", "published lies"]
    return "Beside what was published, with intervals of 95 % over seeds:\n\n" + table(head, lines)


def epochs(checks: Sequence[int]) -> str:
    """Return numbers of checks as epochs."""
    return ", ".join(f"{each / PER_EPOCH:g}" for each in checks)


def set_up(records: Sequence[Record]) -> str:
    """Return what was trained."""
    return f"""
## Set-up

The networks of [the study of regularisation](regularisation.md), and small convolutional networks. An
epoch is a fortieth of a run; there are four checks in it, as in the paper. On moved MNIST it has as
many steps as an epoch of the paper; elsewhere it goes through the data once. Data:
{sources(records)}. Both rules have the same patience ({epochs(PATIENCE)} epochs) and burn-in
({epochs(BURN_IN)} epochs); NP with bias row, as `onnxtop.trace` measures it, and `onnxtop.StoppingRule`
decides for both. Accuracy is that on test data at the check where a rule fires. A pair of patience and
burn-in counts if both rules fire in {100 * RELIABLE:.0f} % of the runs. The grid of the paper and its way
of counting are not known to us in every detail.
"""


TITLE = "NP tells when to stop training"

CLAIM = """
## Claim

[Rieck et al. (ICLR 2019)](https://arxiv.org/abs/1812.09764), section 4.2: stop when neural persistence
has not risen for some checks. No validation data is needed, and little is lost against the same rule on a
falling validation loss; for convolutional networks the paper reports itself that it does not work (up to
4 % of accuracy lost). Published barycentres over all patiences and burn-ins, as we read them: NP minus
loss, so that fewer epochs and more accuracy are better.
"""

READ = """
*Fires* is the share of runs and rules in which a rule stops before the end at all. *Epochs* and
*accuracy* are the barycentre: NP minus validation loss, mean over the rules that count, with the standard
deviation over seeds. What NP has to beat: *at NP's mean epoch* is the accuracy where all networks on the
same data stop at one check, the mean of NP's, so that it says whether NP finds the moment for each of them;
*looking at nothing* is that of a rule that stops when burn-in and patience are over, whatever happens.
"""

MEANING = """
## What it means for a user

A rule that fires late saves nothing, and one that fires early costs accuracy; both depend on how the
largest weight grows, since NP is relative to it. If there is any validation data, stop by it. Without,
`onnxtop trace` gives the rule with both scales and says where they disagree; take it for a hint that
weights have settled, and not for a measure of how well a network does.
"""
