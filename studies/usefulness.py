"""Which measures help an engineer: six questions on a zoo of networks whose accuracy and faults are known.

Aims, to be reported whether met or not: trained from untrained with an area under the curve of 0.99, the
reset layer named in 95 %, twins ranked with Spearman 0.8 and above SQNR, a checkpoint within 0.5 points.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from studies import _judging, _tasks
from studies._judging import shown
from studies._numbers import between, mean
from studies._pages import Page, Picture, joined, sources, table
from studies._planting import LAWS, RESETS, TWINS
from studies._records import Record
from studies._tasks import Answer, Ranks
from studies._zoo import LADDER, Animal, animal

NUMBER = 6
COUNT = 120
PLANNED = 180
QUICK = (3, 13, 55)
"""A healthy one, one of wrong labels and one of few samples, of two layers each."""
AIM_AUC, AIM_LAYER, AIM_RANK, AIM_POINTS = 0.99, 0.95, 0.8, 0.5
PUBLISHED_R2 = 0.98
"""Of accuracy from plain statistics of weights, by Unterthiner et al."""


def runs(quick: bool = False) -> list[Animal]:
    """Return the networks of the zoo."""
    return [animal(each, quick) for each in (QUICK if quick else range(COUNT))]


HOW = {"fresh": "drawn anew", "normal": "normal, same variance", "shuffled": "own weights moved"}
assert tuple(HOW) == RESETS


LAW_NAMES = {"torch": "PyTorch's law", "glorot": "Glorot's, bias 0", "he": "He's, bias 0"}
assert tuple(LAW_NAMES) == LAWS


@dataclass(frozen=True, eq=False)
class Answers:
    """What came out of all questions."""

    untrained: Answer
    under_trained: Answer
    along: Answer
    faults: Mapping[str, Answer]
    layers: Mapping[str, Answer]
    large_layers: Mapping[str, Answer]
    learned_layers: Mapping[str, Answer]
    lost: Ranks
    moved: Ranks
    checkpoints: Answer
    by_fault: Mapping[str, Answer]
    gap: Answer
    gap_within: Answer
    gap_clean: Answer
    straight: Mapping[str, Answer]
    curved: Mapping[str, Answer]


def answered(records: Sequence[Record]) -> Answers:
    """Ask all questions."""
    cases = {how: _tasks.cases(records, how) for how in HOW}
    families = _tasks.families(records)
    return Answers(
        _tasks.untrained(records),
        _tasks.under_trained(records),
        _tasks.along(records),
        {
            f"{name} ({sum(is_fault(record.run) for record in records)})": _tasks.faulty(records, is_fault)
            for name, is_fault in _tasks.FAULTS.items()
        },
        {how: _tasks.which_layer(those) for how, those in cases.items()},
        {how: _tasks.which_layer([case for case in those if case.is_large]) for how, those in cases.items()},
        {how: _tasks.which_layer_learned(those) for how, those in cases.items()},
        _tasks.twins(records, "lost"),
        _tasks.twins(records, "moved"),
        _tasks.checkpoints(records),
        {
            fault: _tasks.checkpoints([record for record in records if record.run.fault == fault])
            for fault in dict.fromkeys(record.run.fault for record in records)
        },
        _tasks.gaps(records, apart=False),
        _tasks.gaps(records, apart=True),
        _tasks.gaps([record for record in records if not record.run.noise], apart=True),
        {name: _tasks.predicted_accuracy(own, _judging.ridge) for name, own in families.items()},
        {name: _tasks.predicted_accuracy(own, _judging.kernel) for name, own in families.items()},
    )


# Words


def told(answer: Answer, name: str, digits: int = 2, factor: float = 1.0, unit: str = "") -> str:
    """Return an estimate with its interval; a dash where there is none."""
    if name not in answer.of:
        return "-"
    text = shown(answer.of[name], digits, factor)
    return text if text == "-" else f"{text}{unit}"


def columns(answers: Mapping[str, Answer], head: str, digits: int = 2, factor: float = 1.0) -> str:
    """Return a table: a line for each measure, a column for each answer."""
    names = list(dict.fromkeys(name for answer in answers.values() for name in answer.of))
    lines = [[name, *(told(answer, name, digits, factor) for answer in answers.values())] for name in names]
    return table([head, *answers], lines)


def sure(difference: np.ndarray) -> str:
    """Return a difference with its interval, and whether it is one."""
    low, high = _judging.ends(difference)
    word = "more" if low > 0 else "less" if high < 0 else "nothing sure"
    return f"{shown(difference)}, {word}"


def gained(answer: Answer, prefix: str, known: str, what: str) -> np.ndarray | None:
    """Return what a regression gains when it knows more, None where there is none."""
    more, less = KNOWN[known]
    with_it, without = f"{prefix}{more.format(what)}", f"{prefix}{less}"
    if with_it not in answer.of or not math.isfinite(answer.value(with_it)):
        return None
    return answer.of[with_it] - answer.of[without]


def added(answer: Answer, prefix: str, known: str, what: str) -> str:
    """Return the same in words, bold where it is sure."""
    difference = gained(answer, prefix, known, what)
    if difference is None:
        return "-"
    low, high = _judging.ends(difference)
    return f"**{shown(difference)}**" if low > 0 or high < 0 else shown(difference)


def met(value: float, aim: float, least: bool = False) -> str:
    """Return whether an aim is met."""
    if not math.isfinite(value):
        return "-"
    return "yes" if (value <= aim if least else value >= aim) else "no"


# The summary


@dataclass(frozen=True, eq=False)
class Line:
    """A question in the summary: where the best of onnxtop and the best plain measure stand."""

    question: str
    answer: Answer
    aim: float = math.nan
    digits: int = 2
    factor: float = 1.0
    least: bool = False
    size: bool = False

    def best(self, *groups: str) -> str:
        """Return the best measure that belongs to a group; for correlations with any sign, the largest."""
        names = [
            each
            for each in self.answer.of
            if group_of(each) in groups and math.isfinite(self.answer.value(each))
        ]
        choose = min if self.least else max
        sized: Callable[[str], float] = lambda name: abs(self.answer.value(name))  # noqa: E731
        return choose(names, key=sized if self.size else self.answer.value, default="")

    def cells(self) -> list[str]:
        """Return it as a line of the table."""
        held = [
            f"{name} {told(self.answer, name, self.digits, self.factor)}" if name else "-"
            for name in map(self.best, GROUPS)
        ]
        ours = self.best(*OURS)
        value = self.factor * self.answer.value(ours) if ours else math.nan
        aim = "-" if math.isnan(self.aim) else f"{'at most' if self.least else 'at least'} {self.aim:g}"
        return [self.question, *held, aim, "-" if math.isnan(self.aim) else met(value, self.aim, self.least)]


GROUPS = {
    "topology": "best of topology",
    "report": "best of the rest of a report",
    "plain": "best plain measure",
}
OURS = ("topology", "report")


def group_of(name: str) -> str:
    """Return the group that a measure, a rule that chooses a checkpoint or a figure of a twin belongs to."""
    if name.endswith("stopping rule") or name.startswith("diff"):
        return "topology"
    if name == "last" or name.startswith(("SQNR", "noise")):
        return "plain"
    return _tasks.GROUP_OF.get(name.removeprefix("most ").removeprefix("least "), "")


def summary(found: Answers) -> list[Line]:
    """Return the lines of the summary."""
    layers = [
        Line(f"reset layer, {HOW[how]}: {size}", answers[how], 100 * AIM_LAYER, 0, 100)
        for how in HOW
        for size, answers in (("large layers", found.large_layers), ("all layers", found.layers))
    ]
    return [
        Line("trained from untrained, area under the curve", found.untrained, AIM_AUC),
        Line("trained from under-trained", found.under_trained),
        Line("the same within a training", found.along),
        *layers,
        Line("twins of a net: accuracy", found.lost.within, AIM_RANK),
        Line("twins of all nets: accuracy", found.lost.over_all, AIM_RANK),
        Line("twins of a net: predictions moved", found.moved.within),
        Line("checkpoint without data, points lost", found.checkpoints, AIM_POINTS, least=True),
        Line("generalisation gap, over all", found.gap, size=True),
        Line("the same within data and kind of network", found.gap_within, size=True),
        Line("the same without wrong labels", found.gap_clean, size=True),
    ]  # fmt: skip


def summarised(found: Answers) -> str:
    """Return the best of onnxtop's measures beside the best that needs no topology, for each question."""
    head = ["question", *GROUPS.values(), "aim", "met by onnxtop"]
    return table(head, [line.cells() for line in summary(found)])


def questions(found: Answers) -> dict[str, tuple[Answer, str]]:
    """Return the questions that regressions are asked, and what stands before the names of these."""
    return {
        "trained from untrained (area under the curve)": (found.untrained, "regression: "),
        "trained from under-trained": (found.under_trained, "regression: "),
        **{f"fault: {name}": (each, "regression: ") for name, each in found.faults.items()},
        **{f"which layer: {HOW[how]}": (each, "") for how, each in found.learned_layers.items()},
        **{f"accuracy of {name} (R2)": (each, "") for name, each in found.curved.items()},
    }


KNOWN = {
    "variance": ("variance + {}", "variance alone"),
    "plain statistics": ("+ {}", "plain statistics"),
    "these and spectrum": ("+ spectrum, {}", "+ spectrum"),
}
ADDED = {"topology": "topology", "onnxtop": "all of onnxtop"}


def ablation(found: Answers) -> str:
    """Return what topology adds to variance, and to all plain statistics, for each question."""
    lines = [
        [
            name,
            told(each, f"{prefix}plain statistics"),
            *(added(each, prefix, known, what) for known in KNOWN for what in ADDED),
        ]
        for name, (each, prefix) in questions(found).items()
    ]
    heads = (f"{what}, to {known}" for known in KNOWN for what in ADDED.values())
    return table(["question", "plain statistics", *heads], lines)


def ablation_told(found: Answers) -> str:
    """Return in how many questions topology adds anything that is sure."""
    parts = []
    for known in KNOWN:
        asked = [gained(each, prefix, known, "topology") for each, prefix in questions(found).values()]
        held = [_judging.ends(each) for each in asked if each is not None]
        more, less = sum(low > 0 for low, _ in held), sum(high < 0 for _, high in held)
        parts.append(f"to {known} in {more} of {len(held)} (and takes away in {less})")
    return f"Topology adds something sure, in regressions: {'; '.join(parts)}."


# What each measure of onnxtop is good for


@dataclass(frozen=True)
class Use:
    """A use of a measure, and when it is called good: from a figure on, in the direction expected."""

    name: str
    enough: float
    least: bool = False

    def good(self, value: float) -> bool:
        return value <= self.enough if self.least else value >= self.enough


USES = {
    "untrained": Use("trained from untrained", 0.95),
    "under_trained": Use("trained from under-trained", 0.9),
    "along": Use("the same within a training", 0.95),
    "fresh": Use("layer drawn anew", 0.8),
    "shuffled": Use("layer with its own weights moved", 0.8),
    "lost": Use("accuracy lost by twins", 0.8),
    "checkpoints": Use("choice of a checkpoint", 0.5, least=True),
    "gap": Use("generalisation gap, no wrong labels", 0.5),
}
"""Judged by limits of our own."""
IN_DIFF = {"NP": "diff: NP, most", "DGP": "diff: DGP", "NP, scale layer": "", "variance": ""}


def uses(found: Answers) -> str:
    """Return what each measure is good for, by the limits of ``USES``."""
    lines = []
    for measure in _tasks.OF_NETWORKS:
        values = {
            "untrained": found.untrained.value(measure.name),
            "under_trained": found.under_trained.value(measure.name),
            "along": found.along.value(measure.name),
            "fresh": found.large_layers["fresh"].value(measure.name),
            "shuffled": found.large_layers["shuffled"].value(measure.name),
            "lost": found.lost.within.value(IN_DIFF.get(measure.name, "")),
            "checkpoints": found.checkpoints.value(measure.choice),
            "gap": abs(found.gap_clean.value(measure.name)),
        }
        lines.append([measure.name, *(cell(USES[use], value) for use, value in values.items())])
    return table(["measure", *(use.name for use in USES.values())], lines)


def cell(use: Use, value: float) -> str:
    """Return a figure, bold where it is good."""
    if not math.isfinite(value):
        return "-"
    return f"**{value:.2f}**" if use.good(value) else f"{value:.2f}"


# Rules


def rules(records: Sequence[Record]) -> str:
    """Return how often onnxtop's rules on untrained weights speak, of networks and of large layers."""
    usable = [record for record in records if _tasks.usable(record)]
    groups = {
        "before the first step": [(record, record.result.states[0]) for record in records],
        "begun, far from trained": list(_tasks.early_states(records)),
        "trained": list(_tasks.trained_states(records)),
        "at the end, healthy": [
            (record, _tasks.last(record)) for record in usable if record.run.fault == "none"
        ],
        "at the end, some fault": [
            (record, _tasks.last(record)) for record in records if record.run.fault != "none"
        ],
    }
    lines = []
    for name, pairs in groups.items():
        findings = [state.findings for _, state in pairs]
        lines.append([
            name,
            f"{len(pairs)}",
            percent(mean("OT208" in each for each in findings)),
            *(percent(mean(layers_named(pairs, rule))) for rule in _tasks.RULES),
            *(percent(mean(rule_speaks(each, rule) for each in findings)) for rule in _tasks.RULES),
        ])  # fmt: skip
    head = [
        "networks",
        "number",
        "OT208: looks untrained",
        "OT207, large layers",
        "OT209, large layers",
        "OT207, any layer",
        "OT209, any layer",
    ]
    return table(head, lines)


def rule_speaks(findings: Iterable[str], rule: str) -> bool:
    return any(each.startswith(rule) for each in findings)


def layers_named(pairs: Iterable[tuple[Record, Any]], rule: str) -> list[float]:
    """Return of each large layer whether a rule names it."""
    return [
        float(f"{rule} {name}" in state.findings)
        for record, state in pairs
        for name, shape in zip(record.result.names, record.result.shapes, strict=True)
        if _tasks.is_large(shape)
    ]


def planted_rules(records: Sequence[Record]) -> str:
    """Return how often rules name the layer that is reset, and others."""
    lines = []
    large = {how: [case for case in _tasks.cases(records, how) if case.is_large] for how in HOW}
    laws = {
        f"{HOW['fresh']}, {title}": [case for case in large["fresh"] if case.law == law]
        for law, title in LAW_NAMES.items()
    }
    for name, those in {**{HOW[how]: own for how, own in large.items()}, **laws}.items():
        for rule in _tasks.RULES:
            named = [f"{rule} {case.names[case.place]}" in case.findings for case in those]
            others = [
                bool(set(_tasks.named(case.findings, (rule,))) - {case.names[case.place]}) for case in those
            ]
            lines.append([name, rule, percent(mean(named)), percent(mean(others)), f"{len(those)}"])
    return table(["large layer that is", "rule", "names it", "names another", "cases"], lines)


def percent(share: float) -> str:
    return "-" if math.isnan(share) else f"{100 * share:.0f} %"


def gate(records: Sequence[Record]) -> str:
    """Return how often the verdict of a comparison agrees with what a twin loses."""
    lines = []
    for limit in (HALF_A_POINT, 0.01, 0.05):
        sides = called_changed(records, limit)
        lines.append([
            f"{100 * limit:g} points",
            *(each for own in sides for each in (f"{len(own)}", percent(mean(own)))),
        ])  # fmt: skip
    return table(
        ["twins that lose more than", "number", "called CHANGED", "the others", "called CHANGED"], lines
    )


def by_twin(records: Sequence[Record]) -> str:
    """Return what each kind of twin loses."""
    pairs = _tasks.twins_of(records)
    lines = []
    for name in (twin.name for twin in TWINS):
        own = [twin for _, twin in pairs if twin.name == name]
        if not own:
            continue
        lines.append([
            name,
            f"{100 * mean(twin.lost for twin in own):.1f}",
            f"{100 * mean(twin.moved for twin in own):.1f} %",
            f"{-mean(twin.figures[1] for twin in own):.0f} dB",
            percent(mean(twin.verdict == "CHANGED" for twin in own)),
        ])  # fmt: skip
    return table(["twin", "points lost", "predictions moved", "SQNR, all weights", "called CHANGED"], lines)


# Pictures

COLOUR = {"topology": "C0", "report": "C2", "plain": "C4"}
SHOWN = ("z", "exchangeability", "NP", "DGP", "norm over random edge", "alpha")


def curves(records: Sequence[Record]) -> Picture:
    """Draw receiver operating characteristics."""

    def draw(figure: Any) -> None:
        good = list(_tasks.trained_states(records))
        sides = (
            ("from untrained", [(record, record.result.states[0]) for record in records]),
            ("from under-trained", list(_tasks.early_states(records))),
        )
        for axes, (title, bad) in zip(figure.subplots(1, 2, sharey=True), sides, strict=True):
            for name in SHOWN:
                measure = next(each for each in _tasks.OF_NETWORKS if each.name == name)
                high, low = (
                    np.array([measure.of_state(state) for _, state in side], float) for side in (good, bad)
                )
                high, low = (np.sort(side[np.isfinite(side)]) for side in (high, low))
                limits = np.unique(np.concatenate([high, low]))[::-1]
                shares = [
                    [0, *(1 - np.searchsorted(side, limits) / max(1, side.size)), 1] for side in (low, high)
                ]
                axes.plot(*shares, label=name)
            axes.set(title=f"trained {title}", xlabel="share of the others called trained")
        figure.axes[0].set_ylabel("share of the trained called trained")
        figure.axes[1].legend()

    return Picture(
        "usefulness-curves", "How well six measures tell trained networks from others", (7, 3.4), draw
    )


def bars(found: Answers) -> Picture:
    """Draw how each measure does at each question."""

    def draw(figure: Any) -> None:
        tasks = (
            ("untrained", found.untrained, 0.5, AIM_AUC),
            ("under-trained", found.under_trained, 0.5, math.nan),
            ("layer drawn anew", found.large_layers["fresh"], chance(found, "fresh"), AIM_LAYER),
            ("weights moved", found.large_layers["shuffled"], chance(found, "shuffled"), AIM_LAYER),
            ("gap, one kind", found.gap_clean, 0.0, math.nan),
        )
        names = [each.name for each in _tasks.OF_NETWORKS]
        places = np.arange(len(names))[::-1]
        for axes, (title, answer, nothing, aim) in zip(
            figure.subplots(1, len(tasks), sharey=True), tasks, strict=True
        ):
            colours = [COLOUR[_tasks.GROUP_OF[name]] for name in names]
            values = [answer.value(name) for name in names]
            axes.barh(places, np.nan_to_num(np.array(values) - nothing), left=nothing, color=colours)
            for place, name in zip(places, names, strict=True):
                if name in answer.of:
                    axes.plot(_judging.ends(answer.of[name]), [place, place], color="#263238", lw=0.8)
            if math.isfinite(aim):
                axes.axvline(aim, color="C1", lw=0.8, ls=":")
            axes.set_title(title)
        figure.axes[0].set_yticks(places, names)

    alt = (
        "How each measure does, from chance: area under the curve, share of reset layers named, rank "
        "correlation; dotted: the aim; blue: topology, green: the rest of a report, grey: plain measures"
    )
    return Picture("usefulness-tasks", alt, (9, 3.2), draw)


def chance(found: Answers, how: str) -> float:
    value = found.large_layers[how].value("chance")
    return value if math.isfinite(value) else 0.0


# The page


def page(records: Sequence[Record], expected: int) -> Page:
    """Return the page."""
    if not records:
        return Page(joined(TITLE, "usefulness", [CLAIM], records, expected))
    found = answered(records)
    pictures = (bars(found), curves(records))
    parts = [
        in_short(records, found),
        CLAIM,
        set_up(records),
        "## Result",
        "\n".join(f"- {each}" for each in verdicts(found)),
        summarised(found),
        SUMMARY_READ,
        pictures[0].link,
        "## What each measure is good for",
        USES_READ,
        uses(found),
        "## What topology adds to variance",
        ABLATION_READ,
        ablation(found),
        "## Trained, under-trained, untrained",
        columns(
            {
                "untrained": found.untrained,
                "under-trained": found.under_trained,
                "within a training": found.along,
            },
            "measure",
        ),
        TRAINED_READ,
        pictures[1].link,
        "onnxtop's own rules:",
        rules(records),
        "Trainings with a fault, at the end, against healthy ones (how many trainings have the fault):",
        columns(found.faults, "measure"),
        FAULTS_READ,
        "## Which layer was reset",
        "Large layers, which onnxtop judges by themselves; percent named first:",
        columns({HOW[how]: each for how, each in found.large_layers.items()}, "measure", 0, 100),
        "All layers:",
        columns({HOW[how]: each for how, each in found.layers.items()}, "measure", 0, 100),
        "Regressions on figures of layers, which have learned from other runs; all layers:",
        columns({HOW[how]: each for how, each in found.learned_layers.items()}, "known", 0, 100),
        planted_rules(records),
        LAYERS_READ,
        "## Quantised twins",
        columns(
            {
                "accuracy lost, within": found.lost.within,
                "accuracy lost, over all": found.lost.over_all,
                f"within, beside {_tasks.BASELINE}": found.lost.beside,
                "predictions moved, within": found.moved.within,
            },
            "known",
        ),
        TWINS_READ,
        gate(records),
        by_twin(records),
        "## Which checkpoint",
        columns({"all": found.checkpoints, **found.by_fault}, "rule", 1),
        CHECKPOINTS_READ,
        "## Generalisation gap",
        columns(
            {
                "over all": found.gap,
                "within data and kind": found.gap_within,
                "within, no wrong labels": found.gap_clean,
            },
            "measure",
        ),
        GAP_READ,
        "## Accuracy from statistics of weights",
        columns(
            {
                f"{name}, {how}": answer
                for how, answers in (("linear", found.straight), ("kernel", found.curved))
                for name, answer in answers.items()
            },
            "known",
        ),
        ACCURACY_READ,
        meaning(found, records),
    ]
    return Page(joined(TITLE, "usefulness", parts, records, expected), pictures)


def in_short(records: Sequence[Record], found: Answers) -> str:
    """Return what the README quotes, a sentence a question."""
    states = [record.result.states[0] for record in records], [s for _, s in _tasks.trained_states(records)]
    stopped = [percent(mean("OT208" in state.findings for state in each)) for each in states]
    named = [
        percent(answers[how].value(NAMES))
        for how in ("fresh", "shuffled")
        for answers in (found.large_layers, found.layers)
    ]
    worse, same = (percent(mean(each)) for each in called_changed(records, HALF_A_POINT))
    lost = [
        between(found.checkpoints.value(name), (math.nan, math.nan), 1)
        for name in ("NP stopping rule", "last", WITH_LABELS)
    ]
    said = [
        f"`check` stops {stopped[0]} of the networks before their first step, and {stopped[1]} of the "
        "trained ones.",
        f"Where a layer was drawn anew, the findings name the right one in {named[0]} if it is large, in "
        f"{named[1]} whatever its size; where its weights were moved about, in {named[2]} and {named[3]}.",
        f"`diff` calls {worse} of the quantised twins that lose more than half a point CHANGED, and {same} "
        "of the others.",
        f"The checkpoint where neural persistence rests is {lost[0]} points of accuracy behind the best, the "
        f"last one {lost[1]}, the one that validation data choose {lost[2]}.",
    ]
    return "## In short\n\n" + "\n".join(f"- {each}" for each in said)


HALF_A_POINT, WITH_LABELS = 0.005, "validation accuracy"


def called_changed(records: Sequence[Record], limit: float) -> tuple[list[bool], list[bool]]:
    """Return of twins that lose more than a limit, and of the others, whether they are called CHANGED."""
    pairs = _tasks.twins_of(records)
    worse = [twin.verdict == "CHANGED" for _, twin in pairs if twin.lost > limit]
    return worse, [twin.verdict == "CHANGED" for _, twin in pairs if twin.lost <= limit]


def verdicts(found: Answers) -> list[str]:
    """Return what came out of each question, in words."""
    return [
        aim_told("Trained from untrained", summary(found)[0], f"area under the curve {AIM_AUC}"),
        *(
            f"Reset layer, {HOW[how]}: onnxtop's findings name "
            f"{told(found.large_layers[how], NAMES, 0, 100)} % of the large layers, and "
            f"{told(found.layers[how], NAMES, 0, 100)} % of all; chance is "
            f"{told(found.layers[how], 'chance', 0, 100)} %. The aim of {100 * AIM_LAYER:.0f} % is "
            f"{'met' if found.large_layers[how].value(NAMES) >= AIM_LAYER else 'not met'} for large layers, "
            f"{'met' if found.layers[how].value(NAMES) >= AIM_LAYER else 'not met'} for all."
            for how in HOW
        ),
        twins_told(found.lost),
        checkpoint_told(found.checkpoints),
        gap_told(found),
        accuracy_told(found),
        ablation_told(found),
    ]


NAMES = _tasks.FINDINGS


def aim_told(question: str, line: Line, aim: str) -> str:
    """Return whether an aim is met, and by what."""
    ours, plain = line.best(*OURS), line.best("plain")
    word = "met" if line.answer.value(ours) >= line.aim else "not met"
    return (
        f"{question}: the aim ({aim}) is {word}. Best of onnxtop: {ours or '-'} "
        f"({told(line.answer, ours)}); best plain measure: {plain or '-'} ({told(line.answer, plain)}). "
        "Regressions, which have learned from other runs: plain statistics "
        f"{told(line.answer, 'regression: plain statistics')}, topology alone "
        f"{told(line.answer, 'regression: topology alone')}."
    )


def twins_told(found: Ranks) -> str:
    """Return whether comparisons of topology rank twins, and better than noise does."""
    best = Line("", found.within).best("topology")
    if not best:
        return "Quantised twins: none measured yet."
    against = found.within.of[best] - found.within.of[_tasks.BASELINE]
    value = found.within.value(best)
    reached = value >= AIM_RANK and value > found.within.value(_tasks.BASELINE)
    return (
        f"Quantised twins: within a network, the best of onnxtop's topological figures ranks the loss of "
        f"accuracy with {told(found.within, best)} ({best}), {_tasks.BASELINE} with "
        f"{told(found.within, _tasks.BASELINE)}: {sure(against)}. The aim ({AIM_RANK}, and above SQNR) is "
        f"{'met' if reached else 'not met'}."
    )


def checkpoint_told(found: Answer) -> str:
    """Return how good a checkpoint is that was chosen without data."""
    line = Line("", found, least=True)
    ours = line.best(*OURS)
    if not ours:
        return "Checkpoint without data: none measured yet."
    against = found.of[ours] - found.of["last"]
    low, high = _judging.ends(against)
    word = "better than" if high < 0 else "worse than" if low > 0 else "no surer than"
    return (
        f"Checkpoint without data: the best rule of onnxtop ({ours}) loses {told(found, ours, 1)} points, "
        f"which is {word} the last checkpoint ({told(found, 'last', 1)}); the NP stopping rule loses "
        f"{told(found, 'NP stopping rule', 1)}, and validation accuracy "
        f"{told(found, 'validation accuracy', 1)}. "
        f"The aim ({AIM_POINTS} points) is {'met' if found.value(ours) <= AIM_POINTS else 'not met'}."
    )


def gap_told(found: Answers) -> str:
    """Return what ranks networks by generalisation gap."""
    line = Line("", found.gap_clean, size=True)
    ours, plain = line.best(*OURS), line.best("plain")
    if not ours:
        return "Generalisation gap: too few runs yet."
    return (
        f"Generalisation gap, within one kind of network and data and without wrong labels: best of onnxtop "
        f"{ours} ({told(found.gap_clean, ours)}), best plain measure {plain} "
        f"({told(found.gap_clean, plain)}), WeightWatcher's alpha {told(found.gap_clean, 'alpha')} "
        "(signs as expected after training)."
    )


def accuracy_told(found: Answers) -> str:
    """Return how well plain statistics predict accuracy, and what topology adds."""
    parts = [
        f"{name} {told(each, 'plain statistics')}, with topology {told(each, '+ topology')}"
        for name, each in found.curved.items()
        if math.isfinite(each.value("plain statistics"))
    ]
    short = [PUBLISHED_R2 - each.value("plain statistics") for each in found.curved.values()]
    most = max(filter(math.isfinite, short), default=math.nan)
    against = (
        f" The published R2 (above {PUBLISHED_R2}, plain statistics) is reached everywhere."
        if most <= 0
        else f" The published R2 (above {PUBLISHED_R2}, plain statistics) is missed by up to {most:.2f}, "
        "with few networks of many shapes in place of many of one."
        if most > 0
        else ""
    )
    return (
        f"Accuracy from statistics of weights, R2 on new runs: {'; '.join(parts) or 'too few runs yet'}."
        f"{against}"
    )


def set_up(records: Sequence[Record]) -> str:
    """Return what was trained."""
    counts = {
        fault: sum(record.run.fault == fault for record in records)
        for fault in dict.fromkeys(record.run.fault for record in records)
    }
    told_counts = ", ".join(f"{count} {fault}" for fault, count in counts.items())
    kinds = ", ".join(f"{len(own)} {name}" for name, own in _tasks.families(records).items())
    return f"""
## Set-up

{len(records)} networks ({kinds}; planned were {PLANNED}, and the rest was left out for want of
time): fully connected ones of two to four hidden layers of 24 to 160 units, and
small convolutional ones; Adam or AdamW, weights drawn by PyTorch's law, Glorot's or He's, everything else
(rate, batch, decay, dropout, length) drawn from the number of the run. Planted faults of training, by number:
{told_counts}, where *none* is a healthy training, *label noise* draws 20 to 100 % of the training labels
anew, *learning rate* is far too large or too small, and *over-trained* has 100 to 400 samples. Data:
{sources(records)}.

Each network is looked at {len(LADDER)} times, from before the first step to the end. At the end every layer
in turn is put in the place of the trained one, in {len(HOW)} ways: drawn anew by the law of the start, with
its bias (the first layer gets back what it started with); drawn normal, with the mean and variance of the
trained weights, its bias kept; the trained weights
in random places. And {len(TWINS)} quantised twins are made, with scales for the layer or for each output,
8 to 2 bits, scales that clip or waste codes, and one layer worse than the others. Everything is an ONNX file,
measured by `onnxtop.audit`, `onnxtop.layer_persistence`, `onnxtop.initialiser_match` and `onnxtop.diff`.
Alpha is a fit of our own, the same as that of WeightWatcher 0.7.7 to all digits where both were tried (dense
layers and convolutions, more than 20 eigenvalues and fewer). The gradient boosting of Unterthiner et al. is
replaced by ridge regression with a Gaussian kernel, on figures clipped at three standard deviations: that of
scikit-learn, tried by hand on the first 74 runs, gave R2 of 0.05 to 0.86 from plain statistics, the kernel
0.40 to 0.81. Linear regressions have the squares of all figures as well. Both penalties were chosen then, so
those runs had a say in them.

*Trained* is a state of at least {100 * _tasks.TRAINED:.0f} % of what its run reaches at its best on test data
above chance, *under-trained* one of less than {100 * _tasks.UNDER_TRAINED:.0f} % that has begun, both of runs
that reach {100 * _tasks.USABLE:.0f} %; states between the two are left out. A *large*
layer has at least {_tasks.SMALLEST_LAYER:,} weights and sides of {_tasks.SMALLEST_SIDE}.
Intervals (95 %) draw whole runs again with replacement. Regressions are judged on runs that they have not
learned from.
"""


TITLE = "Which measures help an engineer"

CLAIM = f"""
## Claim

None of a paper: it is ours to show, or not, that looking at weights in this way helps. Aims that were set
before anything was run: trained networks told from untrained ones with an area under the curve of
{AIM_AUC}; a reset layer named in {100 * AIM_LAYER:.0f} %; the accuracy that quantised twins lose ranked
with Spearman {AIM_RANK}, and better than by SQNR; the best checkpoint of a run picked without data within
{AIM_POINTS} points. What stands beside it: plain statistics of weights, from which [Unterthiner et al.
(2020)](https://arxiv.org/abs/2002.11448) predicted the accuracy of small convolutional networks with R2
above {PUBLISHED_R2}; the signal to quantisation noise ratio; and alpha of
[WeightWatcher](https://arxiv.org/abs/2002.06716), proposed for generalisation.
"""

SUMMARY_READ = """
Means over the layers, except for NP, DGP and variance, which a report has for the network. Percent of layers
named first; rank correlations for twins and gap, with the sign that is expected after training; points of
accuracy lost. *Topology* are figures of persistence: NP, z, excess, DGP, and what `diff` makes of them. *The
rest of a report* is what else onnxtop says of weights, with no topology or little: exchangeability (z is one
of its four parts), the distance from initialisers, variance, and the findings OT207 to OT209. *Plain* are
figures that no report has, WeightWatcher's alpha among them; for twins they are SQNR (which `diff` gives too)
and sums of noise; for checkpoints *last* is one of them. In each group the best of several is chosen
afterwards, which flatters all of them. Whether an aim is met is said of the estimate, whatever its interval.
"""

USES_READ = f"""
The same figures by measure; bold is good enough to rely on, by limits of our own, set when twelve runs were
known:
{"; ".join(f"{use.name} {'at most' if use.least else 'at least'} {use.enough:g}" for use in USES.values())}.
For the gap the size counts, whatever the sign.
"""

ABLATION_READ = """
Regressions on runs that they have not learned from: of the first layer, the mean of those between and the
last, with sizes known (for *which layer*, of each layer). Variance is the standard deviation of the
weights; plain statistics are moments and quantiles of weights and biases; the spectrum is norms, stable rank
and alpha; topology is NP with either scale, z and excess, and for whole networks DGP; *all of onnxtop* has
exchangeability and the distance from initialisers as well, which are no topology. Differences, with
intervals; bold where these leave 0, which one in twenty does by chance.
"""

TRAINED_READ = """
Areas under the curve, over networks of all kinds and data; the last column is the share of pairs of one and
the same training that are in order. *Regression* has learned from other runs which is which. Biases are among
the plain statistics: many start at zero, which tells an untrained network by itself.
"""

FAULTS_READ = """
Healthy ones are to have more of the measure: below 0.5 they have less. Trainings with a fault differ in more
than the fault: those with wrong labels or few samples last longer than healthy ones, and those with few
samples have small batches and no decay. What tells them apart here may be that alone.
"""

LAYERS_READ = """
A measure names the layer that has least of it, whatever the sizes of layers, which is unfair to plain
measures whose scale goes with size; the regressions know sizes. *onnxtop's findings* are the layers that
OT207 names, else those of OT209; where several are named, the right one counts as one of so many. Networks
that learned at least half of their training labels, right or wrong. Moved weights are what OT209 looks
for by its definition, and the three laws are among those that OT207 knows: that they name such a layer says
little, that they name no other one more.
"""

TWINS_READ = """
Rank correlations over the twins of one network, mean over networks; over all twins of all networks; and what
is left of the first when SQNR is taken out of both. *SQNR, least* is that of the worst layer, *noise, summed*
adds the shares of all layers. *diff* are figures of `onnxtop diff`: relative changes of NP, edges of the
spanning tree lost, bottleneck distances. *Outputs* are relative errors of what the network gives, on random
inputs and on validation data, which needs a run. Accuracy is that on all samples held out.
"""

CHECKPOINTS_READ = """
Points of test accuracy lost against the best checkpoint of the run by test accuracy itself, so that even
validation data loses some; runs that reach 30 %. *Most* and *least* are the checkpoint with most or least of
a measure, as is expected after training. The stopping rules have a patience of three looks, which get ever
further apart (at first thousandths of a training), and not the even checks that they were published for: the
study of [stopping](stopping.md) has those. *Any, at random* is the mean over all looks, the untrained one
among them.
"""

GAP_READ = """
Rank correlations with accuracy on the training labels, wrong ones too, minus that on test data, at the end;
of networks that learned at least half of their training labels.
"""

ACCURACY_READ = f"""
R2 of test accuracy of all checkpoints, on runs not learned from. Published, for convolutional networks of one
architecture and very many more of them: above {PUBLISHED_R2}.
"""


def false_alarms(records: Sequence[Record]) -> float:
    """Return which share of the large layers OT209 names in trained networks that nothing was done to."""
    return mean(layers_named(_tasks.trained_states(records), "OT209"))


def meaning(found: Answers, records: Sequence[Record]) -> str:
    """Return what follows for a user."""
    layers, twins, picks = found.large_layers, found.lost.within, found.checkpoints
    said = []
    if math.isfinite(found.untrained.value(_tasks.UNTRAINED)):
        good = found.untrained.value(_tasks.UNTRAINED) >= 0.95
        word = "Rely on OT208" if good else "Do not rely on OT208 alone"
        area, early = (told(each, _tasks.UNTRAINED) for each in (found.untrained, found.under_trained))
        said.append(
            f"{word} to tell a network before its first step (area under the curve {area}); networks that "
            f"have only begun it tells from trained ones with {early}, where 0.50 is chance."
        )
    if math.isfinite(layers["shuffled"].value(NAMES)):
        better = layers["shuffled"].value(NAMES) > layers["shuffled"].value("z")
        said.append(
            "To find a layer that was never loaded, read OT207 and OT209, which name it in "
            f"{told(layers['fresh'], NAMES, 0, 100)} % (drawn anew) and "
            f"{told(layers['shuffled'], NAMES, 0, 100)} % (moved weights) of the large layers. "
            + ("Do not rank layers by z or NP" if better else "Ranking layers by z does as well")
            + f": the lowest z is that layer in {told(layers['fresh'], 'z', 0, 100)} % and "
            f"{told(layers['shuffled'], 'z', 0, 100)} %, the lowest NP in "
            f"{told(layers['fresh'], 'NP', 0, 100)} %. In trained networks of which no layer was reset OT209 "
            f"still names {percent(false_alarms(records))} of the large layers: take it for a question."
        )
    ours = Line("", twins).best("topology")
    if ours:
        above = twins.value(ours) > twins.value(_tasks.BASELINE)
        said.append(
            f"To judge a quantised twin, look at "
            f"{ours if above else 'the decibels of `onnxtop diff` or a run'} first "
            f"({told(twins, ours)} by {ours}, {told(twins, _tasks.BASELINE)} by SQNR)."
        )
    if math.isfinite(picks.value("last")):
        good = picks.value("NP stopping rule") <= picks.value("last")
        said.append(
            f"{'One may choose' if good else 'Do not choose'} a checkpoint by NP: the NP stopping rule "
            f"loses {told(picks, 'NP stopping rule', 1)} points, the last checkpoint "
            f"{told(picks, 'last', 1)}, validation accuracy {told(picks, 'validation accuracy', 1)}."
        )
    gaps = Line("", found.gap_clean, size=True)
    if best := gaps.best(*GROUPS):
        enough = USES["gap"].good(abs(gaps.answer.value(best)))
        said.append(
            f"{'A' if enough else 'No'} figure of weights ranks networks by how much worse they are on new "
            f"data: the best of all has {told(gaps.answer, best)} ({best})."
        )
    said.append("All of this is of small networks without normalisation.")
    return "## What it means for a user\n\n" + "\n".join(f"- {each}" for each in said)
