"""What a rule is, and what it may know beside the report."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, TypeAlias

from onnxtop.results.diff import WholeDiff
from onnxtop.results.report import LayerReport, Report
from onnxtop.rules.matching import layer_pairs

Found = Iterator[tuple[str | None, str]]
"""Layer name (None for the model) and message."""


@dataclass(frozen=True)
class Band:
    """Where a figure should lie; None is no bound."""

    min: float | None = None
    max: float | None = None

    @property
    def is_open(self) -> bool:
        """Whether nothing lies outside."""
        return self.min is None and self.max is None

    def excludes(self, value: float) -> bool:
        """Tell whether a value lies outside."""
        return (self.min is not None and value < self.min) or (self.max is not None and value > self.max)

    def __str__(self) -> str:
        """Return the bounds in words."""
        if self.min is None:
            return f"at most {self.max:g}" if self.max is not None else "anything"
        return f"at least {self.min:g}" if self.max is None else f"from {self.min:g} to {self.max:g}"


THRESHOLDS: Mapping[str, Band] = {
    "coverage.fraction": Band(min=0.5),
    "np.normalized": Band(),
    "np.z": Band(),
    "np.excess_share": Band(),
    "np.mean_normalized": Band(),
    "dgp.normalized": Band(),
    "dead.inputs": Band(max=0.25),
    "dead.outputs": Band(max=0.1),
    "duplicates.inputs": Band(max=0.1),
    "duplicates.outputs": Band(max=0.1),
    "float16.subnormal": Band(max=0.25),
    "codes.clipped": Band(max=0.02),
    "codes.used": Band(min=0.25),
    "untrained.share": Band(max=0.8),
}
"""Every figure that has a band, and its band unless the policy has another; shares are from 0 to 1."""

TOLERANCES: Mapping[str, float] = {
    "np.normalized": 0.1,
    "variance": 0.1,
    "weights.scale": 0.05,
    "dgp.normalized": 0.1,
    "coverage.fraction": 0.01,
    "constants": 0.1,
}
"""Every figure that is compared with a baseline, and the relative change that is still accepted."""


@dataclass(frozen=True)
class Policy:
    """What the rules are judged by.

    Attributes
    ----------
    severities
        By rule name, where they differ from the rule's own; ``off`` switches a rule off.
    thresholds
        By figure, such as ``np.normalized``: the band outside of which OT4 speaks.
    tolerances
        By figure: the relative change against the baseline above which OT5 speaks.
    ignores
        Pairs of a rule (name, code, or beginning of a code) and a pattern of layer names, ``fnmatch`` style.
    select, ignore
        Names, codes, or beginnings of codes: the rules that run (all if empty), and those that do not.
    baseline
        An earlier report on the model; without one, the rules of OT5 are silent.
    verdict
        What the comparison says of the model against the baseline's, where that is a model.
    settled
        Whether the whole is known to be the baseline's function, so that no more is to be said of its layers.
    structure_only
        Whether to compare shapes, encodings and findings with the baseline, and no values.
    unknown
        Why there is no baseline of the model though there is one of others.
    incomparable
        Why the baseline cannot be compared, if it cannot.
    """

    severities: Mapping[str, str] = field(default_factory=dict)
    thresholds: Mapping[str, Band] = field(default_factory=dict)
    tolerances: Mapping[str, float] = field(default_factory=dict)
    ignores: tuple[tuple[str, str], ...] = ()
    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    baseline: Report | None = None
    verdict: WholeDiff | None = None
    settled: bool = False
    structure_only: bool = False
    unknown: str = ""
    incomparable: str = ""

    def band(self, figure: str) -> Band:
        """Return the band of a figure."""
        return self.thresholds.get(figure, THRESHOLDS[figure])

    def tolerance(self, figure: str) -> float:
        """Return the relative change of a figure that is accepted."""
        return self.tolerances.get(figure, TOLERANCES[figure])


Need: TypeAlias = Callable[[Report, Policy], str]
"""Says why something is missing, nothing if it is not; see ``onnxtop.rules.needs``."""


@dataclass(frozen=True)
class Rule:
    """One rule.

    Attributes
    ----------
    code
        ``OT`` and three digits; the first is the family.
    name
        In words, with hyphens.
    severity
        ``error``, ``warning`` or ``note``, unless the policy says otherwise.
    what, why
        What was found, and why that matters: a sentence or two each.
    how
        How it is measured.
    find
        Yields (layer, message) pairs.
    false_alarms
        Known cases in which it speaks and all is well.
    source
        Where the definition comes from.
    needs
        What there must be for it to run; the first that is missing says why it did not.
    """

    code: str
    name: str
    severity: str
    what: str
    why: str
    how: str
    find: Callable[[Report, Policy], Found]
    false_alarms: str = "None known."
    source: str = "onnxtop"
    needs: tuple[Need, ...] = ()

    @property
    def anchor(self) -> str:
        """Where the page of rules speaks of it."""
        return f"{self.code.lower()}-{self.name}"


def rule(code: str, severity: str, **texts: Any) -> Callable[[Callable[[Report, Policy], Found]], Rule]:
    """Return a decorator that makes a rule of the function that finds what it speaks of, under its name."""
    return lambda find: Rule(code, find.__name__.replace("_", "-"), severity, find=find, **texts)


def layer_rule(code: str, severity: str, **texts: Any) -> Callable[[Callable[..., Iterator[str]]], Rule]:
    """Return a decorator as `rule` does, of a function that yields messages on one layer."""

    def decorate(find: Callable[[LayerReport, Policy], Iterator[str]]) -> Rule:
        @rule(code, severity, **texts)
        @wraps(find)
        def every(report: Report, policy: Policy) -> Found:
            return ((layer.name, message) for layer in report.layers for message in find(layer, policy))

        return every

    return decorate


def pair_rule(code: str, severity: str, **texts: Any) -> Callable[[Callable[..., Iterator[str]]], Rule]:
    """Return a decorator as `rule` does, of a function that yields messages on a layer now and then."""

    def decorate(find: Callable[[LayerReport, LayerReport, Policy], Iterator[str]]) -> Rule:
        @rule(code, severity, **texts)
        @wraps(find)
        def every(report: Report, policy: Policy) -> Found:
            pairs = layer_pairs(report, policy.baseline)
            return ((now.name, message) for now, then in pairs for message in find(now, then, policy))

        return every

    return decorate
