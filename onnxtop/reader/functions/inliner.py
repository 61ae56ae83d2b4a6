"""Functions written out where they are called, by onnx's own inliner."""

from collections.abc import Callable, Iterable

from onnx import FunctionProto, GraphProto, ModelProto, NodeProto, inliner

from onnxtop.reader.functions.calls import Key, key_of
from onnxtop.reader.functions.types import forget_guesses, guess_types
from onnxtop.reader.protos import bodies_in, declared_in

_TRIES, _FREE_TRIES = 8, 2**24
"""How many models, and how many bytes beside them, onnx may fail to inline: it fails on 10 MB a second."""


class Inliner:
    """Has onnx inline functions into a graph, in halves if together they fail.

    Every try takes a copy of the whole model. Those that fail may be some times the model, whatever fails:
    then functions that fail together stay calls.
    """

    def __init__(self, proto: ModelProto) -> None:
        self._room = _FREE_TRIES + _TRIES * proto.ByteSize()

    def inline(
        self, proto: ModelProto, functions: list[FunctionProto], *, guess: bool
    ) -> tuple[ModelProto, set[Key]]:
        """Return the model with functions inlined, and those that stay calls."""
        if not guess:
            return self._halves(proto, functions, lambda _: None)
        typed = ModelProto()
        typed.CopyFrom(proto)
        guess_types(typed.graph)
        result, failed = self._halves(typed, functions, guess_types)
        forget_guesses(result.graph)
        return result, failed

    def _halves(
        self, proto: ModelProto, functions: list[FunctionProto], complete: Callable[[GraphProto], None]
    ) -> tuple[ModelProto, set[Key]]:
        """Do it in halves; what was inlined is completed for the next."""
        trial = ModelProto()
        trial.CopyFrom(proto)
        del trial.functions[:]
        trial.functions.extend(functions)
        try:
            result = inliner.inline_local_functions(trial, convert_version=True)
        except Exception:  # the inliner raises bare C++ errors
            self._room -= trial.ByteSize()
        else:
            complete(result.graph)
            return result, {key_of(function) for function in result.functions}
        if len(functions) == 1 or self._room < 0:
            return proto, {key_of(function) for function in functions}
        half = len(functions) // 2
        proto, failed = self._halves(proto, functions[:half], complete)
        proto, more = self._halves(proto, functions[half:], complete)
        return proto, failed | more


def is_whole(function: FunctionProto) -> bool:
    """Tell whether all that a body reads and returns is made before: the converter crashes on what is not."""
    return _makes(function.node, function.input, function.output, {""})


def _makes(nodes: Iterable[NodeProto], inputs: Iterable[str], outputs: Iterable[str], made: set[str]) -> bool:
    """Tell it of a body that sees what is ``made`` outside, which is handed back as it was."""
    own = set(inputs) - made
    made |= own
    whole = True
    for node in nodes:
        whole = (
            whole
            and made.issuperset(node.input)
            and all(
                _makes(body.node, declared_in(body), [item.name for item in body.output], made)
                for body in bodies_in(node)
            )
        )
        new = set(node.output) - made
        made |= new
        own |= new
    whole = whole and made.issuperset(outputs)
    made -= own
    return whole
