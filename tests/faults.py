"""Faults planted into the trained sample models, and what finds them.

Every fault is made in one layer of a healthy twin. ``healthy`` says which twin: the sample itself, the sample
with that layer in int8 codes, or with two layers tied. Run as a script, this writes ``docs/faults.md``.
"""

import functools
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, helper, numpy_helper

from onnxtop.auditing.story import audit
from onnxtop.results.report import Finding, Report
from onnxtop.rules.catalogue import RULES, apply
from onnxtop.rules.rule import Policy

ROOT = Path(__file__).resolve().parent.parent
SAMPLES = ROOT / "sample_models"
PAGE = ROOT / "docs" / "faults.md"

Array = NDArray[Any]
Change = Callable[[Array, int], Array]


@dataclass(frozen=True)
class Subject:
    """A healthy sample: the layer that gets the faults, its outputs' axis, and a layer of the same shape."""

    name: str
    file: str
    layer: str
    outputs: int
    other: str | None = None


SUBJECTS = (
    Subject("MLP", "mlp_torch_legacy.onnx", "/hidden1/Gemm", 0),
    Subject("CNN", "cnn_torch_legacy.onnx", "/output/Gemm", 0),
    Subject("transformer", "transformer_torch_legacy.onnx", "/block1/query/MatMul", 1, "/block1/key/MatMul"),
)


@dataclass(frozen=True)
class Fault:
    """A fault: what it is, how it is planted, and what it needs to be seen."""

    name: str
    what: str
    plant: Callable[[ModelProto, Subject], None]
    twin: Callable[[ModelProto, Subject], None] | None = None
    baseline: bool = False
    pair: bool = False


# Editing a model


def initializer(model: ModelProto, name: str) -> onnx.TensorProto:
    return next(tensor for tensor in model.graph.initializer if tensor.name == name)


@functools.cache
def weight_names(file: str) -> dict[str, str]:
    """Return the weight of every layer."""
    return {layer.name: layer.weight for layer in report_of(SAMPLES / file).layers}


@functools.cache
def report_of(path: Path) -> Report:
    return audit(path)


def weight_of(subject: Subject, layer: str | None = None) -> str:
    return weight_names(subject.file)[layer or subject.layer]


def change(model: ModelProto, name: str, edit: Callable[[Array], Array]) -> None:
    tensor = initializer(model, name)
    old = numpy_helper.to_array(tensor)
    tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(edit(old.copy())).astype(old.dtype), name))


def in_the_weights(edit: Change) -> Callable[[ModelProto, Subject], None]:
    """Plant a fault that is an edit of the array; ``edit`` gets the outputs along the first axis."""

    def plant(model: ModelProto, subject: Subject) -> None:
        def turned(array: Array) -> Array:
            return np.moveaxis(
                edit(np.moveaxis(array, subject.outputs, 0), subject.outputs), 0, subject.outputs
            )

        change(model, weight_of(subject), turned)

    return plant


def put(value: float) -> Change:
    def edit(array: Array, _: int) -> Array:
        array.flat[array.size // 3] = value
        return array

    return edit


def zero(array: Array, _: int) -> Array:
    return np.zeros_like(array)


def half_dead(array: Array, _: int) -> Array:
    array[::2] = 0
    return array


def half_duplicated(array: Array, _: int) -> Array:
    half = len(array) // 2
    array[half : 2 * half] = array[:half]
    return array


def reinitialised(array: Array, _: int) -> Array:
    bound = 1 / np.sqrt(array[0].size)
    return np.random.default_rng(7).uniform(-bound, bound, array.shape)


def reset(model: ModelProto, subject: Subject) -> None:
    """Initialise a layer anew: its weights as PyTorch does, its bias to zeros as most do."""
    in_the_weights(reinitialised)(model, subject)
    (node,) = (node for node in model.graph.node if node.name == subject.layer)
    (added,) = (
        [each for each in model.graph.node if node.output[0] in each.input]
        if node.op_type == "MatMul"
        else [node]
    )
    held = {tensor.name for tensor in model.graph.initializer} - {weight_of(subject)}
    (bias,) = held.intersection(added.input)
    change(model, bias, np.zeros_like)


def transposed(array: Array, _: int) -> Array:
    return array.T


def swapped(model: ModelProto, subject: Subject) -> None:
    one, two = weight_of(subject), weight_of(subject, subject.other)
    first, second = (numpy_helper.to_array(initializer(model, name)).copy() for name in (one, two))
    change(model, one, lambda _: second)
    change(model, two, lambda _: first)


def feed(model: ModelProto, old: str, nodes: Sequence[onnx.NodeProto], new: str) -> None:
    """Put nodes that make ``new`` before everything, and let all who read ``old`` read that."""
    for node in model.graph.node:
        node.input[:] = [new if name == old else name for name in node.input]
    kept = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*nodes, *kept])


def quantised(model: ModelProto, subject: Subject) -> None:
    """Store the layer in int8 codes with one scale."""
    name = weight_of(subject)
    array = numpy_helper.to_array(initializer(model, name))
    scale = np.float32(np.abs(array).max() / 127)
    codes = np.clip(np.rint(array / scale), -127, 127).astype(np.int8)
    initializer(model, name).CopyFrom(numpy_helper.from_array(codes, name))
    model.graph.initializer.append(numpy_helper.from_array(scale, f"{name}_scale"))
    decoder = helper.make_node("DequantizeLinear", [name, f"{name}_scale"], [f"{name}_float"])
    feed(model, name, [decoder], f"{name}_float")


def rescaled(factor: float) -> Callable[[ModelProto, Subject], None]:
    def plant(model: ModelProto, subject: Subject) -> None:
        quantised(model, subject)
        change(model, f"{weight_of(subject)}_scale", lambda scale: scale * np.float32(factor))

    return plant


def as_float16(edit: Callable[[Array], Array]) -> Callable[[ModelProto, Subject], None]:
    """Store the layer as float16 with a Cast behind it, edited on the way."""

    def plant(model: ModelProto, subject: Subject) -> None:
        name = weight_of(subject)
        tensor = initializer(model, name)
        array = edit(numpy_helper.to_array(tensor)).astype(np.float16)
        tensor.CopyFrom(numpy_helper.from_array(array, name))
        cast = helper.make_node("Cast", [name], [f"{name}_float"], to=onnx.TensorProto.FLOAT)
        feed(model, name, [cast], f"{name}_float")

    return plant


def cut_off(array: Array) -> Array:
    """Cut at a limit, as onnxconverter-common does at ``max_finite_val``: here the upper 2 %."""
    limit = np.quantile(np.abs(array), 0.98)
    return np.clip(array, -limit, limit)


def underflow(array: Array) -> Array:
    """Cast what is a thousand times too small for the type: a loss scale that was not taken out."""
    return array / 4096


def tied(model: ModelProto, subject: Subject) -> None:
    """Let the other layer use this one's weight."""
    one, two = weight_of(subject), weight_of(subject, subject.other)
    for node in model.graph.node:
        node.input[:] = [one if name == two else name for name in node.input]
    model.graph.initializer.remove(initializer(model, two))


def untied(model: ModelProto, subject: Subject) -> None:
    """Give the other layer a copy of its own, trained a little further."""
    one, two = weight_of(subject), weight_of(subject, subject.other)
    array = numpy_helper.to_array(initializer(model, one))
    noise = np.random.default_rng(3).normal(size=array.shape).astype(np.float32)
    change(model, two, lambda _: array + 0.02 * array.std() * noise)


FAULTS = (
    Fault("nan", "one NaN", in_the_weights(put(np.nan))),
    Fault("infinity", "one infinity", in_the_weights(put(np.inf))),
    Fault("zero", "all weights zero", in_the_weights(zero)),
    Fault("dead", "half of the neurons dead", in_the_weights(half_dead)),
    Fault("duplicated", "half of the neurons copies of the other half", in_the_weights(half_duplicated)),
    Fault("reset", "initialised anew", reset),
    Fault("reset-known", "initialised anew, baseline at hand", reset, baseline=True),
    Fault("swapped", "swapped with a layer of its shape", swapped, baseline=True, pair=True),
    Fault("transposed", "transposed, square", in_the_weights(transposed), baseline=True, pair=True),
    Fault("scale-up", "int8 scale times 1.5", rescaled(1.5), quantised, baseline=True),
    Fault("scale-down", "int8 scale times 0.1", rescaled(0.1), quantised, baseline=True),
    Fault("scale-zero", "int8 scale zero", rescaled(0.0)),
    Fault("cast-cut", "float16, cut off at a limit", as_float16(cut_off)),
    Fault("cast-small", "float16, too small for the type", as_float16(underflow)),
    Fault("untied", "a tie undone", untied, tied, baseline=True, pair=True),
)


def cases() -> Iterator[tuple[Fault, Subject]]:
    for fault in FAULTS:
        for subject in SUBJECTS:
            if subject.other or not fault.pair:
                yield fault, subject


# Finding them


def save(subject: Subject, plant: Callable[[ModelProto, Subject], None] | None, path: Path) -> Path:
    model = onnx.load(SAMPLES / subject.file)
    if plant is not None:
        plant(model, subject)
    onnx.save(model, path)
    return path


@functools.cache
def healthy(twin: Callable[[ModelProto, Subject], None] | None, subject: Subject) -> Report:
    with tempfile.TemporaryDirectory() as folder:
        return audit(save(subject, twin, Path(folder, "twin.onnx")))


@functools.cache
def found(fault: Fault, subject: Subject) -> tuple[Finding, ...]:
    """Return the errors and warnings that ``check`` has on a fault and not on its healthy twin."""
    with tempfile.TemporaryDirectory() as folder:
        report = audit(save(subject, fault.plant, Path(folder, "fault.onnx")))
    twin = healthy(fault.twin, subject)
    findings = apply(report, Policy(baseline=twin if fault.baseline else None))
    before = {finding.fingerprint for finding in twin.findings}
    return tuple(each for each in findings if each.severity != "note" and each.fingerprint not in before)


def page() -> str:
    """Write the matrix of faults against rules."""
    names = {rule.code: rule.name for rule in RULES}
    lines = [
        "# Faults and the rules that find them",
        "",
        "Each fault is planted into one layer of a trained sample model by `tests/faults.py`, which also "
        "writes this page. A cell names the rules that report that layer at error (bold) or warning, beyond "
        "what they say of the healthy model. Where it says so, the healthy model's report is given as "
        "`--baseline`.",
        "",
        "| fault | baseline | " + " | ".join(subject.name for subject in SUBJECTS) + " |",
        "| --- | --- | " + " | ".join("---" for _ in SUBJECTS) + " |",
    ]
    shown = set(cases())
    for fault in FAULTS:
        cells = []
        for subject in SUBJECTS:
            if (fault, subject) in shown:
                mine = [each for each in found(fault, subject) if each.layer == subject.layer]
                cells.append(", ".join(f"**{f.rule}**" if f.severity == "error" else f.rule for f in mine))
            else:
                cells.append("no layer of the same shape")
        lines.append(f"| {fault.what} | {'yes' if fault.baseline else 'no'} | {' | '.join(cells)} |")
    codes = sorted(
        {
            each.rule
            for fault, subject in shown
            for each in found(fault, subject)
            if each.layer == subject.layer
        }
    )
    lines += [
        "",
        "The rules: " + ", ".join(f"{code} {names[code]}" for code in codes) + ".",
        "",
        "The healthy twins, all other sample models and all checkpoints pass without an error; "
        "`mlp_untrained.onnx` does not (OT208). A test holds both.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write(page())
