"""Passes as files: the points of the path in an npz, the network at its highest point as a model."""

import io
import json
import re
from collections.abc import Iterator
from pathlib import PurePath
from typing import Any

import numpy as np

from onnxtop.errors import ModelError, UsageError
from onnxtop.landscape.paths import LossPath
from onnxtop.loss.prepare.whole import with_weights
from onnxtop.reader.model import Model
from onnxtop.results.landscape import LossLandscape, Pass

_MOST = 2**31 - 1
"""Bytes that a protobuf message may have."""


def pass_files(landscape: LossLandscape, model: Model) -> Iterator[tuple[str, bytes]]:
    """Yield two files, name and bytes, for each path that ends a bar: its points, and its pass.

    The npz has ``points`` (p, d), the profile in ``positions`` and ``losses``, the point ``pass`` (d,), the
    weights' ``names`` and ``slices`` (k, 2) of a point, and ``about``, everything else as JSON. The model is
    the one given with the weights of the pass, each rounded to the type that it is stored in.

    Parameters
    ----------
    landscape
        As `onnxtop.loss_barcode` returned it; one that was read from JSON has no points.
    model
        The first of the models that it was made of.

    Raises
    ------
    UsageError
        The landscape has no points.
    ModelError
        The model cannot hold the weights, or has more than 2 GiB.
    """
    if len(landscape.paths) != len(landscape.passes):
        raise UsageError("wanted a landscape with the points of its paths, found one that was read from JSON")
    for number, (item, path) in enumerate(zip(landscape.passes, landscape.paths, strict=True), start=1):
        if item.in_tree:
            name = f"{number:02}-{_safe(item.first)}-{_safe(item.second)}"
            yield f"{name}.npz", _points(landscape, item, path)
            yield f"{name}.onnx", _model(landscape, path, model)


def _safe(name: str) -> str:
    """Return a name that any file system takes.

    >>> _safe("models/a: 1.onnx")
    'a_1'
    """
    return re.sub(r"[^A-Za-z0-9_.]+", "_", PurePath(name).name.removesuffix(".onnx"))[:60]


def _points(landscape: LossLandscape, item: Pass, path: LossPath) -> bytes:
    weights = landscape.weights
    about = {
        "first": item.first,
        "second": item.second,
        "height": item.height,
        "top": item.top,
        "gradient_norm": item.gradient_norm,
        "curvature": item.curvature,
        "second_curvature": item.second_curvature,
        "loss": landscape.loss,
        "batchnorm": landscape.batchnorm,
        "l2": landscape.l2,
        "shapes": [list(each.shape) for each in weights],
    }
    arrays: dict[str, Any] = {
        "points": path.points,
        "positions": path.positions,
        "losses": path.losses,
        "pass": path.pass_point,
        "names": np.array([each.name for each in weights]),
        "slices": np.array([(each.start, each.stop) for each in weights]),
        "about": np.array(json.dumps(about)),
    }
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def _model(landscape: LossLandscape, path: LossPath, model: Model) -> bytes:
    theta = path.pass_point.astype(np.float32)
    weights = {each.name: theta[each.slice].reshape(each.shape) for each in landscape.weights}
    proto = with_weights(model, weights)
    if proto.ByteSize() > _MOST:
        raise ModelError("wanted a model of at most 2 GiB to write a pass, found a larger one")
    data: bytes = proto.SerializeToString(deterministic=True)
    return data
