"""What two models take and give: which input is which, and what differs in names, order, types and shapes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from onnx import TensorProto, ValueInfoProto, helper

from onnxtop.reader.model import Model
from onnxtop.reader.tensors import dtype_name
from onnxtop.reader.terms.constant import Shape, is_float
from onnxtop.reader.terms.facts import Port


@dataclass(frozen=True)
class Declared:
    """An input or output as a model declares it; open sizes are None, ``names`` what they are called.

    ``kind`` is the whole type of what is no tensor.
    """

    name: str
    data_type: int
    shape: Shape | None
    names: tuple[str, ...] = ()
    kind: str = ""

    @property
    def dtype(self) -> np.dtype[np.generic] | None:
        """The element type, None for what is no tensor."""
        known = self.data_type in TensorProto.DataType.values() and self.data_type
        return helper.tensor_dtype_to_np_dtype(self.data_type) if known else None

    @property
    def type(self) -> str:
        """What ONNX calls the type of the elements; the whole type of what is no tensor."""
        known = self.data_type in TensorProto.DataType.values() and self.data_type
        return TensorProto.DataType.Name(self.data_type) if known else self.kind or str(self.data_type)

    @property
    def port(self) -> Port:
        """The same as a report has it: open sizes by their names."""
        sizes = None if self.shape is None else zip(self.shape, self.names, strict=True)
        shape = None if sizes is None else tuple(name if size is None else size for size, name in sizes)
        return Port(self.name, self.type, shape)

    @staticmethod
    def of(name: str, type_: str, shape: Sequence[int | str] | None) -> "Declared":
        """Return what was declared so, open sizes by their names."""
        known = type_ in TensorProto.DataType.keys()  # noqa: SIM118 (no mapping)
        data_type = TensorProto.DataType.Value(type_) if known else TensorProto.UNDEFINED
        sizes = None if shape is None else tuple(size if isinstance(size, int) else None for size in shape)
        names = tuple("" if isinstance(size, int) else size for size in shape or ())
        return Declared(name, data_type, sizes, names, "" if known else type_)

    def __str__(self) -> str:
        if not self.data_type:
            return f"no tensor ({self.kind})"
        if self.shape is None:
            return dtype_name(self.data_type)
        sizes = (
            name or "?" if size is None else str(size)
            for size, name in zip(self.shape, self.names, strict=True)
        )
        return f"{dtype_name(self.data_type)}[{', '.join(sizes)}]"


@dataclass(frozen=True)
class Remark:
    """A difference of the interface; ``counts`` if it changes what the model may be given, or gives."""

    where: str
    what: str
    counts: bool


@dataclass(frozen=True)
class Ports:
    """Inputs or outputs of two models: their places in pairs, and what differs.

    ``exact`` says whether they are declared alike, but for names.
    """

    kind: str
    old: tuple[Declared, ...]
    new: tuple[Declared, ...]
    pairs: tuple[tuple[int, int], ...]
    remarks: tuple[Remark, ...]

    @property
    def exact(self) -> bool:
        """Whether they are declared alike, but for names."""
        return all(_agree(self.old[a], self.new[b]) for a, b in self.pairs)


def inputs_of(model: Model) -> tuple[Declared, ...]:
    """Return the inputs that a model has to be given."""
    wanted = {value.name for value in model.inputs}
    return tuple(_declared(item) for item in model.proto.graph.input if item.name in wanted)


def outputs_of(model: Model) -> tuple[Declared, ...]:
    """Return the outputs."""
    return tuple(map(_declared, model.proto.graph.output))


def _declared(item: ValueInfoProto) -> Declared:
    tensor = item.type.tensor_type
    if not item.type.HasField("tensor_type") or not tensor.elem_type:
        return Declared(item.name, TensorProto.UNDEFINED, None, kind=" ".join(str(item.type).split()))
    if not tensor.HasField("shape"):
        return Declared(item.name, tensor.elem_type, None)
    sizes = tuple(dim.dim_value if dim.dim_value > 0 else None for dim in tensor.shape.dim)
    names = tuple(
        "0" if dim.HasField("dim_value") and not dim.dim_value else dim.dim_param for dim in tensor.shape.dim
    )  # onnxruntime takes no other size there
    return Declared(item.name, tensor.elem_type, sizes, names)


def ports(kind: str, old: Sequence[Declared], new: Sequence[Declared]) -> Ports:
    """Pair inputs or outputs: by name those that both have, the others in their order."""
    pairs = _pairs([item.name for item in old], [item.name for item in new])
    remarks = []
    if len(old) != len(new):
        names = [", ".join(item.name for item in items) for items in (old, new)]
        remarks.append(Remark(f"{kind}s", f"{len(old)} ({names[0]}), now {len(new)} ({names[1]})", True))
    elif any(a != b for a, b in pairs):
        names = [", ".join(item.name for item in items) for items in (old, new)]
        remarks.append(Remark(f"{kind}s", f"in another order: {names[0]}, now {names[1]}", True))
    for a, b in pairs:
        remarks += _compared(kind, old[a], new[b])
    return Ports(kind, tuple(old), tuple(new), tuple(pairs), tuple(remarks))


def _pairs(old: Sequence[str], new: Sequence[str]) -> list[tuple[int, int]]:
    in_old, in_new = _first_places(old), _first_places(new)
    left = [place for place, name in enumerate(new) if name not in in_old]
    rest = [place for place, name in enumerate(old) if name not in in_new]
    named = [(in_old[name], in_new[name]) for name in old if name in in_new]
    return sorted([*named, *zip(rest, left, strict=False)])


def _first_places(names: Sequence[str]) -> dict[str, int]:
    return {name: place for place, name in reversed([*enumerate(names)])}


def _compared(kind: str, old: Declared, new: Declared) -> list[Remark]:
    where = f"{kind} {old.name}"
    remarks = [] if old.name == new.name else [Remark(where, f"is called {new.name}", False)]
    if (old.data_type, old.kind) != (new.data_type, new.kind):
        remarks.append(Remark(where, f"{old}, now {new}", True))
    elif not _agree(old, new):
        remarks.append(Remark(where, f"{old}, now {new}", not fits(old.shape, new.shape)))
    return remarks


def _agree(old: Declared, new: Declared) -> bool:
    return (old.data_type, old.shape, old.kind) == (new.data_type, new.shape, new.kind)


def fits(old: Shape | None, new: Shape | None) -> bool:
    """Tell whether some shape is one of both."""
    if old is None or new is None:
        return True
    return len(old) == len(new) and all(
        a is None or b is None or a == b for a, b in zip(old, new, strict=True)
    )


def is_recast(old: Declared, new: Declared) -> bool:
    """Tell whether two differ in nothing but the type of their floats."""
    kinds = old.dtype, new.dtype
    if kinds[0] is None or kinds[1] is None or kinds[0] == kinds[1]:
        return False
    return is_float(kinds[0]) and is_float(kinds[1]) and fits(old.shape, new.shape)
