"""What a model file is and what of it was read, in the report's words."""

import os
from collections.abc import Sequence

from onnxtop.reader.constants import Constants
from onnxtop.reader.coverage import account
from onnxtop.reader.layers import Layer, Skipped
from onnxtop.reader.model import Model
from onnxtop.reader.skeleton import checker_note
from onnxtop.results.report import Coverage, ModelInfo, SkippedWeight

__all__ = ["coverage_of", "model_info"]


def coverage_of(model: Model, constants: Constants, found: Sequence[Layer | Skipped]) -> Coverage:
    """Say where every element of the model's constants went."""
    counts = account(model, constants, found)
    skipped = [item for item in found if isinstance(item, Skipped)]
    total = counts.analysed + sum(counts.skipped)
    return Coverage(
        parameters_total=total,
        parameters_analysed=counts.analysed,
        fraction=counts.analysed / total if total else None,
        biases=counts.biases,
        normalisation=counts.normalisation,
        other_constants=sum(counts.other.values()),
        other_kinds=counts.other,
        unused=counts.unused,
        skipped=tuple(
            SkippedWeight(item.name, item.op_type, item.reason, share)
            for item, share in zip(skipped, counts.skipped, strict=True)
        ),
    )


def model_info(path: str | os.PathLike[str], model: Model, coverage: Coverage) -> ModelInfo:
    """Say what the file is."""
    return ModelInfo(
        path=os.fspath(path),
        sha256=model.sha256(),
        bytes=model.byte_count,
        producer=model.producer,
        ir_version=model.proto.ir_version,
        opset=model.opset,
        parameters=coverage.parameters_total + coverage.biases + coverage.normalisation,
        complaint=checker_note(model),
    )
