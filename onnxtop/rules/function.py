"""OT5, of whole models: whether one is the function that the baseline's is, whatever its layers are called.

A baseline that is a model was compared as `onnxtop diff` does: the policy holds the verdict. A report holds
digests, which tell whether it is the same function, and in what parts it is not.
"""

from collections import Counter
from collections.abc import Iterator

from onnxtop.reader.terms.facts import Function, Port
from onnxtop.results.diff import Change, Verdict, WholeDiff
from onnxtop.results.report import Report
from onnxtop.rules import needs
from onnxtop.rules.rule import Found, Policy, rule

_SHOWN = 3
_WEIGHTS = "weights"
_NO_WEIGHTS = "no digest of them is in the baseline; --write-baseline writes them, and so does -f json"
_HINT = "`onnxtop diff` of the two models says where"
_SOURCE = "`onnxtop diff`; docs/diff.md"
_ANEW = "A model that was changed on purpose: take a new baseline, or --compare structure if it was trained."


@rule(
    "OT514",
    "error",
    needs=(needs.baseline,),
    what="The model computes another function than the baseline's, or is built otherwise.",
    why="Something changed, be it no weight of a layer: a bias, an operation, an attribute, an edge.",
    how="A baseline that is a model: the verdict of `onnxtop diff` is CHANGED. A report: digests of "
    "operations, attributes, edges and constants, as the graph stands and in one normal form; with "
    "--compare structure without the elements of what training moves.",
    false_alarms=_ANEW + " A report cannot tell rounding (float16, int8, a folded BatchNormalization) from "
    "other values; the earlier model as the baseline can.",
    source=_SOURCE,
)
def other_function(report: Report, policy: Policy) -> Found:
    if policy.verdict is not None:
        if policy.verdict.verdict is Verdict.CHANGED:
            yield _told(report, policy, policy.verdict)
    elif parts := list(_parts(report, policy)):
        same = "the function of" if _is_normal(report, policy) else "built as"
        yield None, f"it is not {same} {_earlier(policy)}: other {', '.join(parts)}; {_HINT}"


@rule(
    "OT515",
    "error",
    needs=(needs.earlier_model,),
    what="It is not proved that the model computes the function of the baseline's model.",
    why="Both hold operations that cannot be matched, behind which anything may have changed.",
    how="The verdict of `onnxtop diff` is UNPROVEN.",
    false_alarms="Operations fused or written out in a way that is not known; compare what both compute.",
    source=_SOURCE,
)
def unproven_function(report: Report, policy: Policy) -> Found:
    if policy.verdict is not None and policy.verdict.verdict is Verdict.UNPROVEN:
        yield _told(report, policy, policy.verdict)


@rule(
    "OT516",
    "note",
    needs=(needs.earlier_model,),
    what="The model computes the function of the baseline's model within the tolerance.",
    why="What was left out of the comparison, or is allowed to differ, may still matter.",
    how="The verdict of `onnxtop diff` is WITHIN TOLERANCE.",
    source=_SOURCE,
)
def rounded_function(report: Report, policy: Policy) -> Found:
    if policy.verdict is not None and policy.verdict.verdict is Verdict.WITHIN:
        yield _told(report, policy, policy.verdict)


@rule(
    "OT517",
    "note",
    needs=(needs.baseline,),
    what="There is a baseline, and not all of the function is compared with its.",
    why="What is not compared may have changed.",
    how="Digests of the whole that a report does not hold, or holds of another version, or of a model with "
    "constants that cannot be read; digests of the weights, which stand in what `report` and `check` write "
    "as JSON.",
)
def function_not_compared(report: Report, policy: Policy) -> Found:
    if policy.verdict is None and policy.baseline is not None and report.model.function is not None:
        why = _incomparable(report.model.function, policy.baseline.model.function)
        if why:
            yield None, f"biases, operations, edges and attributes are not compared: {why}"
        elif not (policy.structure_only or _has_weights(report, policy)):
            yield None, f"weights are only compared by the figures of their layers: {_NO_WEIGHTS}"


def is_settled(report: Report, policy: Policy) -> bool:
    """Tell whether the whole is known to be the baseline's, so that no more is to be said of its layers."""
    if policy.verdict is not None:
        return policy.verdict.verdict.passes
    then = policy.baseline.model.function if policy.baseline else None
    if report.model.function is None or then is None or _incomparable(report.model.function, then):
        return False
    return (policy.structure_only or _has_weights(report, policy)) and not list(_parts(report, policy))


def _incomparable(now: Function, then: Function | None) -> str:
    if then is None:
        return "the baseline holds no digests of the whole; write it anew"
    if now.version != then.version:
        return "the digests of the baseline are of another version; write it anew"
    return f"{then.unreadable[0]} of the baseline cannot be read" if then.unreadable else ""


def _is_normal(report: Report, policy: Policy) -> bool:
    """Tell whether the functions were compared, and not only how they are written."""
    found = [each.model.function for each in (report, policy.baseline) if each is not None]
    return not policy.structure_only and all(each is not None and each.normal for each in found)


def _has_weights(report: Report, policy: Policy) -> bool:
    """Tell whether both reports hold digests of all that there is, weights among it."""
    found = [each.model.function for each in (report, policy.baseline) if each is not None]
    return all(each is not None and each.terms is not None for each in found)


def _parts(report: Report, policy: Policy) -> Iterator[str]:
    """Yield the parts in which digests differ; nothing if they say that all is the same, or say nothing."""
    now, then = report.model.function, policy.baseline.model.function if policy.baseline else None
    if now is None or then is None or _incomparable(now, then):
        return
    if now.unreadable:  # as it is not in the baseline: no digest says what it is
        yield f"values ({now.unreadable[0]} cannot be read)"
        return
    yield from (f"{part} ({what})" for part, what in _interface(now, then))
    whole = _has_weights(report, policy)
    constants = [] if policy.structure_only else list(_constants(now, then, weights=whole))
    same = whole and (now.terms == then.terms or now.normal == then.normal is not None)
    outlined = policy.structure_only or not (whole or constants)
    if same or (outlined and now.structure == then.structure):
        return
    operations = _counts(now, then)
    if operations:
        yield f"operations ({operations})"
    elif now.attributes != then.attributes:
        yield "attributes"
    yield from constants
    if not (operations or constants or now.attributes != then.attributes):
        yield "edges or shapes of constants" if policy.structure_only else "edges"


def _interface(now: Function, then: Function) -> Iterator[tuple[str, str]]:
    from onnxtop.reader.declared import Declared  # loads onnx: not for help
    from onnxtop.reader.terms.interface import ports

    def declared(items: tuple[Port, ...]) -> list[Declared]:
        return [Declared.of(item.name, item.type, item.shape) for item in items]

    for kind, old, new in (("input", then.inputs, now.inputs), ("output", then.outputs, now.outputs)):
        for remark in ports(kind, declared(old), declared(new)).remarks:
            if remark.counts:
                yield remark.where, remark.what


def _counts(now: Function, then: Function) -> str:
    """Say which operations there are more or fewer of."""
    counts = Counter(now.operations)
    counts.subtract(then.operations)
    more = [f"{count} {op} more" for op, count in sorted(counts.items()) if count > 0]
    fewer = [f"{-count} {op} fewer" for op, count in sorted(counts.items()) if count < 0]
    return ", ".join((*more, *fewer))


def _constants(now: Function, then: Function, *, weights: bool) -> Iterator[str]:
    """Yield the roles whose constants differ, weights last: rules of their own speak of these."""
    roles = sorted({*now.constants, *then.constants} - {_WEIGHTS}) + [_WEIGHTS] * weights
    for role in roles:
        if now.constants.get(role) != then.constants.get(role):
            yield f"{role} constants" if role == "other" else role


def _told(report: Report, policy: Policy, whole: WholeDiff) -> tuple[str | None, str]:
    """Return the layer that the most important difference is at, if it is at one, and what differs."""
    changes = [each for each in (*whole.interface, *whole.changes) if each.counts]
    told = [f"{each.where}: {each.what}" for each in changes[:_SHOWN]]
    more = f"; and {len(changes) - _SHOWN} more" if len(changes) > _SHOWN else ""
    left_out = ", ".join(whole.dropped) if not changes else ""
    details = "; ".join(filter(None, (*told, left_out)))
    message = f"{whole.verdict.value} against {_earlier(policy)}: {whole.reason}"
    layers = [layer for each in changes[:1] if (layer := _layer(report, each))]
    return next(iter(layers), None), f"{message}: {details}{more}" if details else message


def _layer(report: Report, change: Change) -> str | None:
    names = {name: layer.name for layer in report.layers for name in (layer.name, *layer.uses)}
    return names.get(change.where.partition(" ")[2], names.get(change.where))


def _earlier(policy: Policy) -> str:
    return policy.baseline.model.path if policy.baseline else "the baseline"
