"""Neural persistence reflects dropout and batch normalisation.

Claim of Rieck et al. (2019), section 4.1: networks trained with dropout or batch normalisation have a higher
mean normalized NP than plain ones.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from studies._course import CHECKS, Course, Result
from studies._numbers import grouped, mean, place, spearman, student, told
from studies._pages import Page, Picture, joined, sources, table
from studies._records import Record

NUMBER = 1
CONDITIONS = ("plain", "dropout", "affine", "batchnorm")
PUBLISHED = {"plain": (0.50, 0.52), "affine": (0.54, 0.58), "dropout": (0.62, 0.64)}
"""Mean normalized NP after training, read off the paper's figure; what it calls batch norm is affine here."""
NAMES = {
    "plain": "plain",
    "dropout": "dropout 0.5",
    "affine": "authors' batch norm",
    "batchnorm": "batch norm",
}
PAPERS_STEPS = 40 * 1718


@dataclass(frozen=True)
class Setting:
    """What is trained under all conditions, and what it is called; ``seeds`` are how many."""

    title: str
    data: str
    shift: int
    steps: int
    seeds: int
    widths: tuple[int, ...] = (650, 650)
    checks: int = CHECKS

    def runs(self) -> list[Course]:
        """Return its runs; those of one seed beside each other."""
        return [
            Course(self.data, "mlp", condition, seed, self.widths, self.steps, self.shift, self.checks)
            for seed in range(self.seeds)
            for condition in CONDITIONS
        ]


SETTINGS = (
    Setting("MNIST, moved by up to two pixels, as many steps as in the paper", "mnist", 2, PAPERS_STEPS, 5),
    Setting("MNIST as it is, 40 epochs of 8,000 digits", "mnist", 0, 10000, 3),
    Setting("MNIST-1D, 40 epochs", "mnist1d", 0, 6000, 5),
)
QUICK = (
    Setting("digits, moved by a pixel", "digits", 1, 320, 2, (48, 48), 16),
    Setting("MNIST-1D", "mnist1d", 0, 320, 2, (48, 48), 16),
)


def settings(quick: bool = False) -> tuple[Setting, ...]:
    """Return the settings of this size."""
    return QUICK if quick else SETTINGS


def runs(quick: bool = False) -> list[Course]:
    """Return all conditions of all settings."""
    return [run for each in settings(quick) for run in each.runs()]


def title_of(run: Course) -> str:
    """Return what the setting of a run is called; its data may stand in for others."""
    for each in (*SETTINGS, *QUICK):
        if (each.shift, each.steps, each.widths) == (run.shift, run.steps, run.widths):
            return each.title if each.data == run.data else f"{run.data}, in the place of: {each.title}"
    return run.data


Figure = Callable[[Result], float]
FIGURES: dict[str, Figure] = {
    "NP": lambda result: result.np[-1],
    "scale layer": lambda result: result.np_layer[-1],
    "largest weight": lambda result: result.largest[-1],
    "NP, largest cut": lambda result: result.clipped,
}
PERCENT: dict[str, Figure] = {
    "test accuracy": lambda result: 100 * result.test_accuracy[-1],
    "train accuracy": lambda result: 100 * result.train_accuracy,
}


def ends(records: Sequence[Record], published: bool) -> str:
    """Return the figures of each condition after training."""
    head = ["condition", *FIGURES, *PERCENT, "largest weight lies in", "seeds"]
    if published:
        head[2:2] = ["published", "agreement"]
    lines = []
    for condition, own in by_condition(records).items():
        results = [each.result for each in own]
        line = [
            NAMES[condition],
            *(told(map(figure, results)) for figure in FIGURES.values()),
            *(told(map(figure, results), 1, " %") for figure in PERCENT.values()),
            holders(results),
            f"{len(results)}",
        ]
        if published:
            line[2:2] = agreement(condition, mean(map(FIGURES["NP"], results)))
        lines.append(line)
    return table(head, lines)


def by_condition(records: Sequence[Record]) -> dict[str, list[Record]]:
    """Return records by condition, in the order in which conditions are told."""
    groups = grouped(records, lambda record: record.run.condition)
    return {condition: groups[condition] for condition in CONDITIONS if condition in groups}


def agreement(condition: str, found: float) -> tuple[str, str]:
    """Return the published range, and how far a figure is from it."""
    if condition not in PUBLISHED:
        return "-", "-"
    low, high = PUBLISHED[condition]
    return f"{low:.2f} to {high:.2f}", place(found, (low, high), 3)


def holders(results: Sequence[Result]) -> str:
    """Return which layers hold the largest weight, and how often."""
    names = [max(result.layers, key=lambda layer: layer.largest).name for result in results]
    return ", ".join(f"{name} ({len(those)})" for name, those in sorted(grouped(names, str).items()))


PAIRS = (("dropout", "plain"), ("affine", "plain"), ("dropout", "affine"), ("batchnorm", "plain"))
"""Conditions of which the first has the higher NP, by the paper or its words."""


def apart(records: Sequence[Record], above: str, below: str, figure: Figure) -> list[float]:
    """Return by how much a figure is higher under one condition than under another, for each seed of both."""
    seeds = grouped(records, lambda each: each.run.seed).values()
    held = ({each.run.condition: each.result for each in own} for own in seeds)
    return [figure(own[above]) - figure(own[below]) for own in held if above in own and below in own]


def orders(records: Sequence[Record]) -> str:
    """Return in how many seeds the published order of conditions holds, by NP and by other figures."""
    lines = []
    for above, below in PAIRS:
        found = [apart(records, above, below, figure) for figure in FIGURES.values()]
        counts = (f"{sum(each > 0 for each in those)} of {len(those)}" for those in found)
        lines.append([f"{NAMES[above]} above {NAMES[below]}", *counts])
    return table(["order", *FIGURES], lines)


def along(records: Sequence[Record]) -> str:
    """Return how NP goes with the largest weight, within runs and across them."""
    lines = []
    for condition, own in by_condition(records).items():
        lines.append([
            NAMES[condition],
            told((spearman(r.result.np[1:], r.result.largest[1:]) for r in own), 2),
            told((spearman(r.result.np_layer[1:], r.result.largest[1:]) for r in own), 2),
            told((spearman(r.result.np[1:], r.result.test_accuracy[1:]) for r in own), 2),
            told((max(r.result.np) - r.result.np[-1] for r in own), 3),
        ])  # fmt: skip
    head = [
        "condition",
        "NP and largest weight",
        "scale layer and largest weight",
        "NP and test accuracy",
        "NP lost after its peak",
    ]
    return table(head, lines)


def layers(records: Sequence[Record]) -> str:
    """Return what each layer has after training."""
    lines = []
    for condition, own in by_condition(records).items():
        for number, first in enumerate(own[0].result.layers):
            held = [each.result.layers[number] for each in own]
            lines.append([
                NAMES[condition],
                first.name,
                told(each.np for each in held),
                told(each.np_layer for each in held),
                told(each.largest for each in held),
                told((each.z for each in held), 1),
            ])  # fmt: skip
    return table(["condition", "layer", "NP", "scale layer", "largest weight", "z"], lines)


def picture(name: str, title: str, records: Sequence[Record]) -> Picture:
    """Draw curves along training, means over seeds with their range."""

    def draw(figure: Any) -> None:
        panels = figure.subplots(1, 4)
        series = (
            ("NP", "np"),
            ("NP, scale layer", "np_layer"),
            ("largest weight", "largest"),
            ("test accuracy", "test_accuracy"),
        )
        for axes, (words, key) in zip(panels, series, strict=True):
            for condition, own in by_condition(records).items():
                color = f"C{CONDITIONS.index(condition)}"
                values = np.array([getattr(each.result, key) for each in own])
                steps = np.array(own[0].result.steps) / 1000
                axes.plot(steps, values.mean(axis=0), color=color, lw=1.2, label=NAMES[condition])
                axes.fill_between(
                    steps, values.min(axis=0), values.max(axis=0), color=color, alpha=0.15, lw=0
                )
                if key == "np" and condition in PUBLISHED:
                    axes.plot([steps[-1] * 1.04] * 2, PUBLISHED[condition], color=color, lw=3)
            axes.set(title=words, xlabel="thousand steps")
        panels[-1].legend(fontsize=6)

    return Picture(
        f"regularisation-{name}",
        f"{title}: curves along training with the range over seeds; bars: published",
        (10, 2.6),
        draw,
    )


def page(records: Sequence[Record], expected: int) -> Page:
    """Return the page."""
    if not records:
        return Page(joined(TITLE, "regularisation", [CLAIM], records, expected))
    parts, pictures = [CLAIM, set_up(records), "## Result"], []
    groups = grouped(records, lambda record: title_of(record.run))
    for number, (title, own) in enumerate(groups.items(), 1):
        pictures.append(picture(f"{number}", title, own))
        parts += [
            f"### {title}",
            ends(own, published=own[0].run.data == "mnist"),
            verdict(own, published=own[0].run.data == "mnist"),
            pictures[-1].link,
            "In how many seeds the order holds, by NP, and by what takes the largest weight out of it:",
            orders(own),
            "Rank correlations along training, without the first check:",
            along(own),
            "By layer, after training:",
            layers(own),
        ]
    parts.append(MEANING)
    return Page(joined(TITLE, "regularisation", parts, records, expected), tuple(pictures))


def verdict(records: Sequence[Record], published: bool) -> str:
    """Return what came out, in words."""
    found = {
        condition: mean(r.result.np[-1] for r in own) for condition, own in by_condition(records).items()
    }
    ranked = sorted(found, key=lambda condition: -found[condition])
    said = f"By mean NP: {', '.join(f'{NAMES[each]} {found[each]:.3f}' for each in ranked)}."
    claimed = [each for each in ("dropout", "affine", "plain") if each in found]
    if len(claimed) == 3:
        kept = [each for each in ranked if each in claimed] == claimed
        said += f" Of means the published order (dropout, batch norm, plain) {'holds' if kept else 'fails'}."
    said += sure(records)
    if published and claimed:
        inside = [c for c in claimed if agreement(c, found[c])[1] == "within"]
        said += f" Within the published ranges: {', '.join(NAMES[each] for each in inside) or 'none'}."
    return said


def sure(records: Sequence[Record]) -> str:
    """Return in words which conditions differ in NP by more than seeds do."""
    said = []
    for above, below in PAIRS:
        low, high = student(apart(records, above, below, FIGURES["NP"]))
        if math.isfinite(low + high):
            word = "above" if low > 0 else "below" if high < 0 else "not surely apart from"
            said.append(f"{NAMES[above]} is {word} {NAMES[below]} (by {low:.3f} to {high:.3f})")
    return f" With intervals of 95 % over seeds: {'; '.join(said)}." if said else ""


def set_up(records: Sequence[Record]) -> str:
    """Return what was trained."""
    run = records[0].run
    return f"""
## Set-up

Fully connected networks, {" and ".join(str(each) for each in run.widths)} hidden units, ReLU, Adam
{run.rate:g}, batches of {run.batch}, weights and biases drawn as the authors do (Glorot, the bias as
one more input). Behind each ReLU stands nothing (plain), dropout of one half, batch normalisation as
the authors' code runs it (their layer is never told that it trains, so it is a learned factor and
addend), or batch normalisation that normalises. Data: {sources(records)}. A tenth validates and a
tenth tests. The paper has 55,000 digits to train on and 50 runs; here there are 8,000 digits and fewer
seeds. For the published figures two ways were tried: the digits as they are, which the network learns by
heart, and moved at random so that it cannot, for as many steps as in the paper. At each check the network
is written as an ONNX file; `onnxtop.trace` measures the files with bias row, and onnxruntime has to
predict from the last what PyTorch does. *Scale layer* divides by the largest weight of each layer
instead of the network's. *Largest cut* is NP after the largest weights, one in ten thousand, were cut
to the size of the next: what hangs on a handful of weights goes.
"""


TITLE = "NP reflects dropout and batch normalisation"

CLAIM = """
## Claim

[Rieck et al. (ICLR 2019)](https://arxiv.org/abs/1812.09764), section 4.1: mean normalized neural
persistence tells networks that were trained with dropout or batch normalisation from plain ones.
Published, on MNIST, 40 epochs, with bias row, as read off a figure: plain 0.50 to 0.52, batch norm 0.54
to 0.58, dropout 0.62 to 0.64.
"""

MEANING = """
## What it means for a user

NP is relative to the largest weight of the network. Where that is driven up, because a network memorises
or by one outlier, all of NP moves with it, and differences between ways of training can be undone or
turned round. So compare NP of two training runs only together with `largest` and the figure with `--scale
layer`; where the two disagree, it is the one weight that speaks. Reports name that weight.
"""
