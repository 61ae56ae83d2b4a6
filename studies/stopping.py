"""Neural persistence tells when to stop training.

Claim of Rieck et al. (2019), section 4.2: stopping when NP no longer rises needs no validation data, and
loses little against stopping when the validation loss no longer falls.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import onnxtop
from studies import regularisation
from studies._course import PER_EPOCH, TRACED, Course, Result
from studies._numbers import grouped, mean, told
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

    ``epochs`` and ``accuracy`` (in points) are those of NP minus those of the loss. ``blind`` is the same
    accuracy of a rule that looks at nothing and stops when burn-in and patience are over.
    """

    patience: int
    burn_in: int
    seed: int
    fired: bool
    fired_loss: bool
    epochs: float
    accuracy: float
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


def stop(run: Course, result: Result, patience: int, burn_in: int) -> Stop:
    """Return where both rules stop."""
    ours = stopped_at(result.np, patience, burn_in)
    theirs = stopped_at([math.exp(-loss) for loss in result.valid_loss], patience, burn_in)  # falls: rises
    accuracy = [100 * each for each in result.test_accuracy]
    blind = min(burn_in + patience, len(accuracy) - 1)
    both = ours is not None and theirs is not None
    return Stop(
        patience,
        burn_in,
        run.seed,
        ours is not None,
        theirs is not None,
        (ours - theirs) / PER_EPOCH if both else math.nan,
        accuracy[ours] - accuracy[theirs] if both else math.nan,
        accuracy[blind] - accuracy[theirs] if theirs is not None else math.nan,
    )


def grid(records: Sequence[Record]) -> list[Stop]:
    """Return all runs under all rules that fit into them."""
    return [
        stop(record.run, record.result, patience, burn_in)
        for record in records
        for patience, burn_in in itertools.product(PATIENCE, BURN_IN)
        if patience + burn_in < len(record.result.np)
    ]


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


def barycentres(groups: dict[str, list[Record]]) -> str:
    """Return the barycentre of each group."""
    lines = []
    for name, own in groups.items():
        stops = grid(own)
        those = counted(stops)
        seeds = list(grouped(those, lambda each: each.seed).values())
        rules = {(each.patience, each.burn_in) for each in stops}
        lines.append([
            name,
            f"{len(own)}",
            f"{100 * mean(float(each.fired) for each in stops):.0f} %",
            f"{100 * mean(float(each.fired_loss) for each in stops):.0f} %",
            f"{len({(each.patience, each.burn_in) for each in those})} of {len(rules)}",
            told((mean(each.epochs for each in seed) for seed in seeds), 2),
            told((mean(each.accuracy for each in seed) for seed in seeds), 2),
            told((mean(each.blind for each in seed) for seed in seeds), 2),
        ])  # fmt: skip
    head = [
        "networks",
        "runs",
        "NP fires",
        "loss fires",
        "rules counted",
        "epochs",
        "accuracy, points",
        "looking at nothing",
    ]
    return table(head, lines)


def examples(groups: dict[str, list[Record]]) -> str:
    """Return some rules by themselves."""
    lines = []
    for name, own in groups.items():
        for patience, burn_in in ((4, 0), (4, 8), (16, 0), (16, 16)):
            if patience + burn_in >= len(own[0].result.np):
                continue
            stops = [stop(each.run, each.result, patience, burn_in) for each in own]
            fired = (sum(getattr(each, key) for each in stops) for key in ("fired", "fired_loss"))
            lines.append([
                name, f"{patience / PER_EPOCH:g}", f"{burn_in / PER_EPOCH:g}",
                f"{' and '.join(map(str, fired))} of {len(stops)}",
                told((each.epochs for each in stops), 2),
                told((each.accuracy for each in stops), 2),
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


def picture(groups: dict[str, list[Record]]) -> Picture:
    """Draw differences of all rules, and their barycentres."""

    def draw(figure: Any) -> None:
        columns = min(4, len(groups))
        lines = -(-len(groups) // columns)
        panels = figure.subplots(lines, columns, squeeze=False, sharex=False).ravel()
        for axes, (name, own) in itertools.zip_longest(panels, groups.items(), fillvalue=(None, None)):
            if name is None:
                axes.set_axis_off()
                continue
            those = counted(grid(own))
            rules = grouped(those, lambda each: (each.patience, each.burn_in)).values()
            points = [(mean(e.epochs for e in rule), mean(e.accuracy for e in rule)) for rule in rules]
            if points:
                axes.plot(*zip(*points, strict=True), ".", ms=4, color="C0", alpha=0.6)
                center = [mean(each) for each in zip(*points, strict=True)]
                axes.plot(*center, "+", ms=10, mew=2, color="C1")
            axes.axhline(0, color="#90a4ae", lw=0.8)
            axes.axvline(0, color="#90a4ae", lw=0.8)
            axes.set_title(name, fontsize=7)
        for axes in panels[-columns:]:
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
    drawn = picture(groups)
    parts = [
        CLAIM,
        published,
        set_up(records),
        "## Result",
        verdict(groups),
        barycentres(groups),
        READ,
        drawn.link,
        "Four rules by themselves:",
        examples(groups),
        traces(records),
        MEANING,
    ]
    return Page(joined(TITLE, "stopping", parts, records, expected), (drawn,))


def verdict(groups: dict[str, list[Record]]) -> str:
    """Return what came out, in words."""
    said = []
    for name, own in groups.items():
        those = counted(grid(own))
        if not those:
            said.append(f"{name}: the two rules never fire together reliably")
            continue
        later, accuracy, blind = (
            mean(getattr(each, key) for each in those) for key in ("epochs", "accuracy", "blind")
        )
        when = f"{abs(later):.1f} epochs {'earlier' if later < 0 else 'later'}"
        better = "more" if accuracy > blind else "less"
        said.append(
            f"{name}: NP stops {when} than the loss, at {accuracy:+.2f} points, {better} than a rule that "
            f"looks at nothing ({blind:+.2f})"
        )
    return "\n".join(f"- {each}." for each in said)


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
deviation over seeds. *Looking at nothing* is the accuracy of a rule that stops when burn-in and patience
are over, whatever happens: what NP has to beat.
"""

MEANING = """
## What it means for a user

A rule that fires late saves nothing, and one that fires early costs accuracy; both depend on how the
largest weight grows, since NP is relative to it. If there is any validation data, stop by it. Without,
`onnxtop trace` gives the rule with both scales and says where they disagree; take it for a hint that
weights have settled, and not for a measure of how well a network does.
"""
