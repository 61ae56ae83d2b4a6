"""The pass that changes nothing: it refuses a model whose loss would depend on chance."""

from onnxtop.errors import ModelError
from onnxtop.gradient.graph import descendants
from onnxtop.loss.prepare.prepared import Prepared


def for_evaluation(model: Prepared, *, batch_statistics: bool) -> Prepared:
    """Return a model in which no node behaves as in training.

    Raises
    ------
    ModelError
        A Dropout is in training mode, or a BatchNormalization is without ``batch_statistics``: the loss would
        depend on chance, or on who shares the batch. One that standardises weights does not.
    """
    moving = descendants(model.graph.nodes, [value.name for value in model.inputs])
    for node in model.graph.nodes:
        advice = ""
        if node.op_type == "Dropout" and len(node.input) > 2:
            training = model.graph.constants.get(node.input[2])
            advice = "" if training is None or not training.any() else "export the model in evaluation mode"
        elif node.op_type == "BatchNormalization" and not batch_statistics and not node.domain:
            training_mode = any(a.name == "training_mode" and a.i for a in node.attribute)
            if node.input[0] in moving and (training_mode or sum(map(bool, node.output)) > 1):
                advice = "export the model in evaluation mode, or probe it with batchnorm 'batch'"
        if advice:
            name = node.name or node.output[0]
            raise ModelError(
                f"wanted a model for evaluation, found {node.op_type} {name!r} in training mode; {advice}"
            )
    return model
