"""Names that people recognise, from what exporters leave in a file.

PyTorch's exporter writes the path of the module into each node's metadata; others name their nodes after
layers or scopes; some only number them, and then the weight's own name says more.
"""

import re
from collections import Counter
from collections.abc import Iterable

from onnxtop.reader.model import Node

_FRAME = re.compile(r'^[^\S\n]*File "([^"\n]+)", line (\d{1,9})\b', re.M)
_INSTALLED = re.compile(r"[/\\](site|dist)-packages[/\\]|^<")
_QUOTED = re.compile(r"'([^']*)'")
_NUMBERED = re.compile(r"(onnx::|val_|node_|_|%)?[A-Za-z]*_*\d+|")


def layer_name(node: Node, weight: str) -> str:
    """Return the module's path, else the node's name, else the weight's name; never an empty one."""
    module = _module_path(node)
    if module:
        return module
    weight = weight.removesuffix("_quantized").removesuffix(".weight")
    if _says_nothing(node) and not _NUMBERED.fullmatch(weight):
        return weight
    return node.name or weight or node_name(node)


def node_name(node: Node) -> str:
    """Return the node's name, or its operation and number where it has none."""
    return node.name or f"{node.origin.op_type}#{node.number}"


def source_line(node: Node) -> str | None:
    """Return where the source calls the operation, ``net.py:45``, as PyTorch's exporter noted it.

    Of the frames that it noted this is the innermost of the user's own. Whether there is such a file here is
    not looked at.
    """
    for entry in node.origin.metadata_props:
        if entry.key == "pkg.torch.onnx.stack_trace":
            frames = [frame for frame in _FRAME.findall(entry.value) if not _INSTALLED.search(frame[0])]
            return f"{frames[-1][0]}:{int(frames[-1][1])}" if frames else None
    return None


def numbered(names: Iterable[str]) -> list[str]:
    """Return the names with ``#2``, ``#3`` behind those seen before, in order; all differ."""
    names = list(names)
    taken = set(names)
    seen: Counter[str] = Counter()
    result = []
    for name in names:
        seen[name] += 1
        numbered_name = name if seen[name] == 1 else f"{name}#{seen[name]}"
        while seen[name] > 1 and numbered_name in taken:
            seen[name] += 1
            numbered_name = f"{name}#{seen[name]}"
        taken.add(numbered_name)
        result.append(numbered_name)
    return result


def _says_nothing(node: Node) -> bool:
    """Tell whether a node's name is only its operation and a number: ``Gemm_0``, ``node_linear_3``."""
    return bool(re.fullmatch(rf"(node_\w*|{re.escape(node.origin.op_type)}[_\d]*|\d+|)", node.name))


def _module_path(node: Node) -> str:
    """Return the path of the innermost module that PyTorch's exporter noted, "" if it noted none."""
    for entry in node.origin.metadata_props:
        if entry.key == "pkg.torch.onnx.name_scopes":
            scopes = _QUOTED.findall(entry.value)  # a Python list of names: "['', 'layers.0', 'linear']"
            return next((scope for scope in reversed(scopes[:-1]) if scope), "")
    return ""
