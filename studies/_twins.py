"""A real model, and twins of it whose weights were rounded, spoiled or turned into codes.

A twin in plain floats is another theta of the same graph: what an integer runtime makes of the weights, with
activations left alone. What `onnxruntime.quantization` writes is a file of its own.
"""

import hashlib
import logging
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import onnxtop
from studies import _data, _exporting, _magika
from studies._planting import quantised

Vector = NDArray[np.float32]
EXPORTS = ("magika", "sample")
SAMPLES = Path(__file__).parents[1] / "sample_models"
BITS = (8, 6, 5, 4, 3, 2)
ALONE = (4, 3, 2)
"""Bits of one layer, while the others keep their floats."""
CALIBRATED = 32
"""Samples from the end of the data, which no loss is measured on, that static quantisation looks at."""


@dataclass(frozen=True, eq=False)
class Export:
    """A model as it was published, and labelled samples for its one input."""

    content: bytes
    input: str
    x: NDArray[Any]
    labels: NDArray[np.int64]
    source: str

    @property
    def digest(self) -> str:
        """Tells this model and these samples from others that go by the same name."""
        return hashlib.sha256(self.content + self.x.tobytes() + self.labels.tobytes()).hexdigest()[:12]

    def part(self, number: int, size: int) -> dict[str, NDArray[Any]]:
        """Return samples that no other part has, as a probe takes them."""
        rows = slice(number * size, (number + 1) * size)
        return {self.input: self.x[rows], "labels": self.labels[rows]}

    def probe(self, data: Mapping[str, Any]) -> onnxtop.Probe:
        """Return the loss as a function of the weights, on one core."""
        return onnxtop.Probe(self.content, data, threads=1)


def load(name: str) -> Export:
    """Return the public model, or the sample that stands in for it."""
    if name == "magika":
        held = np.load(_data.FOLDER / "magika.npz")
        said = f"the model of {_magika.MODEL} and files of {', '.join(_magika.FILES)}, packages on PyPI"
        return Export(held["model"].tobytes(), "bytes", held["x"], held["labels"], said)
    held = np.load(SAMPLES / "digits.npz")
    model = SAMPLES / "cnn_torch_dynamo.onnx"
    x = held["x_test"].reshape(-1, 1, 8, 8)
    return Export(model.read_bytes(), "x", x, held["labels_test"], f"sample_models/{model.name} on digits")


@dataclass(frozen=True)
class Twin:
    """A twin in plain floats, by name; ``family`` says which question it belongs to.

    ``layer`` is the only one that was changed, from 0; -1 where all were.
    """

    name: str
    family: str
    change: Callable[[onnxtop.Probe], Vector]
    layer: int = -1


def weights(probe: onnxtop.Probe) -> list[onnxtop.Parameter]:
    """Return the parameters that are weights of layers, in graph order."""
    return [each for each in probe.parameters if each.role == "weight"]


def twins(layers: int) -> list[Twin]:
    """Return all twins of a model with so many layers."""
    found = [Twin("float", "float", lambda probe: probe.theta0)]
    found += [
        Twin(f"int{bits} per {axis}", axis, _everywhere(_rounding(bits, axis == "channel")))
        for axis in ("tensor", "channel")
        for bits in BITS
    ]
    found += [
        Twin(f"int{bits} in layer {layer + 1}", "alone", _within(layer, _rounding(bits, False)), layer)
        for bits in ALONE
        for layer in range(layers)
    ]
    found += [Twin(f"noise as of int{bits}", "noise", _everywhere(_noise(bits))) for bits in (4, 3)]
    last = layers - 1
    planted = {
        "scale of layer 2 half as large": (1, lambda w, axis: w / 2),
        "scale of layer 2 times 1.5": (1, lambda w, axis: w * 1.5),
        "one output of the last layer times 8": (last, _one_output),
        "last layer clipped at a quarter": (last, lambda w, axis: np.clip(w, -_quarter(w), _quarter(w))),
        "int8 by an outlier in layer 2": (1, _outlier),
    }
    found += [Twin(name, "planted", _within(layer, spoil), layer) for name, (layer, spoil) in planted.items()]
    return found


Spoil = Callable[[NDArray[Any], int | None], NDArray[Any]]
"""From a weight and the axis of its outputs to another weight."""


def _everywhere(spoil: Spoil) -> Callable[[onnxtop.Probe], Vector]:
    return lambda probe: _changed(probe, weights(probe), spoil)


def _within(layer: int, spoil: Spoil) -> Callable[[onnxtop.Probe], Vector]:
    return lambda probe: _changed(probe, [weights(probe)[layer]], spoil)


def _changed(probe: onnxtop.Probe, parameters: Sequence[onnxtop.Parameter], spoil: Spoil) -> Vector:
    theta = np.array(probe.theta0)
    for each in parameters:
        own = theta[each.slice].reshape(each.shape).astype(np.float64)
        theta[each.slice] = spoil(own, each.output_axis).ravel()
    return theta


def _rounding(bits: int, by_output: bool) -> Spoil:
    return lambda weight, axis: quantised(weight, bits, axis if by_output else None)


def _noise(bits: int) -> Spoil:
    """Return what adds normal noise of the length that rounding to so many bits has."""

    def spoil(weight: NDArray[Any], axis: int | None) -> NDArray[Any]:
        noise = np.random.default_rng(weight.size).standard_normal(weight.shape)
        length = np.linalg.norm(quantised(weight, bits) - weight)
        return np.asarray(weight + noise * length / np.linalg.norm(noise))

    return spoil


def _one_output(weight: NDArray[Any], axis: int | None) -> NDArray[Any]:
    spoiled = np.array(weight)
    np.moveaxis(spoiled, axis or 0, 0)[0] *= 8
    return spoiled


def _quarter(weight: NDArray[Any]) -> float:
    return float(np.abs(weight).max()) / 4


def _outlier(weight: NDArray[Any], axis: int | None) -> NDArray[Any]:
    """Return a weight rounded to int8 by a step that one weight, 30 times the largest, has set."""
    return quantised(weight, 8, stretch=30)


def written(export: Export, probe: onnxtop.Probe, theta: Vector, path: Path) -> None:
    """Write a twin in plain floats as a file."""
    path.write_bytes(_exporting.with_arrays(export.content, probe.tensors(theta)))


RUNTIME = ("dynamic", "static, products", "static, all operations")
"""How onnxruntime quantises: activations too, by what they are in each run, or by samples seen before."""


def by_runtime(export: Export, how: str, path: Path) -> None:
    """Write what onnxruntime's own tools make of a model: int8, weights by output where they can."""
    from onnxruntime.quantization import QuantType, quantize_dynamic, quantize_static

    with tempfile.TemporaryDirectory(prefix="onnxtop-studies-") as folder:
        model = Path(folder, "float.onnx")
        model.write_bytes(export.content)
        logging.disable(logging.WARNING)  # it recommends what the authors of the file have done
        try:
            if how == "dynamic":
                quantize_dynamic(model, path, weight_type=QuantType.QInt8)
            else:
                only = {"op_types_to_quantize": ["MatMul", "Gemm", "Conv"]} if "products" in how else {}
                quantize_static(model, path, _reader(export), per_channel=True, **only)
        finally:
            logging.disable(logging.NOTSET)


def _reader(export: Export) -> Any:
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.left = iter(_singles(export))

        def get_next(self) -> Any:
            return next(self.left, None)

    return Reader()


def _singles(export: Export) -> Iterator[dict[str, NDArray[Any]]]:
    for row in range(len(export.x) - CALIBRATED, len(export.x)):
        yield {export.input: export.x[row : row + 1]}
