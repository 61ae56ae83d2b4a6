"""onnxruntime's one door: sessions on the processor, their types, their errors made ours.

Imported only when a model is opened.
"""

import contextlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from onnx import ModelProto

from onnxtop.errors import ModelError
from onnxtop.gradient.graph import Array

_TYPES: dict[str, Any] = {"float": np.float32, "double": np.float64, "bfloat16": ml_dtypes.bfloat16}
_TYPES["string"] = object
_TYPES |= {"float8e8m0": "float8_e8m0fnu", "float4e2m1": "float4_e2m1fn"}
_TYPES |= {f"float8{kind}": f"float8_{kind}" for kind in ("e4m3fn", "e4m3fnuz", "e5m2", "e5m2fnuz")}
"""What onnxruntime calls types, and NumPy by another name."""


def _silent() -> Any:
    """Return onnxruntime, which tells nobody what it runs: its official builds do by default.

    On Windows by way of the system, since 1.29 elsewhere over the network (its docs/Privacy.md); where the
    variable is set before it is loaded, it does not begin to.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime  # type: ignore[import-untyped]

    onnxruntime.disable_telemetry_events()
    return onnxruntime


_WRONG = ("QDQPropagationTransformer",)
"""Passes of onnxruntime that go wrong from opset 21 on, which is what `prepare` raises models to.

This one copies pairs of quantisers to the other side of a Slice or a Reshape, for speed alone. It forgot
which type of codes is meant (its issue 27845); where it says so, the pass from int8 to uint8, which does not
know of it, leaves a model that is none (its issue 25526).
"""


class Session:
    """A model ready to run; see `Runtime.open`."""

    def __init__(
        self, model: ModelProto | Path, threads: int, plain: bool, without: Sequence[str] = ()
    ) -> None:
        onnxruntime = _silent()
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # each weight that is fed would be a warning
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.use_deterministic_compute = True
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # it starves neighbours
        levels = onnxruntime.GraphOptimizationLevel
        options.graph_optimization_level = levels.ORT_DISABLE_ALL if plain else levels.ORT_ENABLE_ALL
        try:
            self._session = onnxruntime.InferenceSession(
                _held(model), options, providers=["CPUExecutionProvider"], disabled_optimizers=without
            )
        except Exception as error:  # onnxruntime's errors share no base but Exception
            raise ModelError(f"onnxruntime cannot open the model: {_reason(error)}") from None
        self._inputs = [value.name for value in self._session.get_inputs()]

    def types(self) -> dict[str, np.dtype[Any] | None]:
        """Return the outputs' types by name, None for what is no tensor."""
        return {value.name: _dtype(value.type) for value in self._session.get_outputs()}

    def run(self, outputs: Sequence[str], feeds: Mapping[str, Array]) -> list[Array]:
        """Compute some outputs; what the model does not use is not fed.

        Raises
        ------
        ModelError
            The model fails on this data.
        """
        used = {name: feeds[name] for name in self._inputs}
        try:
            results: list[Array] = self._session.run(list(outputs), used)
        except Exception as error:
            raise ModelError(f"onnxruntime cannot run the model on this data: {_reason(error)}") from None
        return results


@dataclass(frozen=True)
class Runtime:
    """Opens models, each run of which has so many threads; ``as_given`` ones as onnxruntime itself would."""

    threads: int = 1
    as_given: bool = False

    def open(self, model: ModelProto | Path, *, plain: bool = False) -> Session:
        """Open a model, or the file that holds one; ``plain`` leaves out all optimisation.

        Raises
        ------
        ModelError
            onnxruntime does not take it.
        """
        return Session(model, self.threads, plain, () if self.as_given else _WRONG)


def _held(model: ModelProto | Path) -> bytes | str:
    return str(model) if isinstance(model, Path) else bytes(model.SerializeToString())


_SIGNATURE = r"[^()\n']{0,200}::[^()\n']{1,200}\([^()\n']{0,400}\)(?: const)?(?: \[with [^]\n]{0,400}\])?"
"""Of a function in C++, as compilers write it."""
_NOISE = (
    (r"\[ONNXRuntimeError\] : \d+ : \w+ : (Load model from .*? failed: ?)?", ""),
    (
        r"Non-zero status code returned while running (\S+) node\. Name:'([^']*)' Status Message: ",
        r"\1 '\2': ",
    ),
    (rf"/onnxruntime_src/\S+ (?:{_SIGNATURE} )?", ""),
    (r"\b\w{1,80}\.(?:cc|h):\d+ \w+ ", ""),
)
"""What onnxruntime says around its reasons, and what is left of it: places in its source, with signatures."""
_MOST = 2**14  # characters of what it says that are looked at: a file's names are among them


def _reason(error: Exception) -> str:
    text = str(error)[:_MOST]
    for noise, left in _NOISE:
        text = re.sub(noise, left, text)
    text = text.strip()
    first = text.splitlines()[0] if text else type(error).__name__
    return f"{first}; give a smaller batch size" if "alloc" in first.lower() else first


def _dtype(name: str) -> np.dtype[Any] | None:
    """Return the type that onnxruntime calls ``tensor(float)``, None for sequences, maps and newer types."""
    if not name.startswith("tensor("):
        return None
    inner = name.removeprefix("tensor(").removesuffix(")")
    with contextlib.suppress(TypeError):  # one that is newer than ml_dtypes
        kind: np.dtype[Any] = np.dtype(_TYPES.get(inner, inner))
        return kind
    return None
