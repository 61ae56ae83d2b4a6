"""The page of operations that have gradients, written from the tables of rules.

``python -m tests.gradient_page > docs/gradient-ops.md``
"""

import inspect
from collections.abc import Iterator, Mapping

import onnx

from onnxtop.gradient.engine import Key, Rule
from onnxtop.gradient.expansions import EXPANSIONS
from onnxtop.gradient.graph import OPSET
from onnxtop.gradient.rules import FAMILIES, WITHOUT

__all__ = ["page"]

_HEAD = """\
# Operations with a gradient

<!-- written by python -m tests.gradient_page from the tables of rules; a test compares them -->

`onnxtop.Probe` differentiates a model whose operations between the parameters and the loss all stand here.
An operation elsewhere (of the input alone, of shapes) needs no rule. Models older than opset {opset} are
converted to it first, so every version of an operation counts that onnx can convert; the column lists the
versions in which ONNX changed it. Fused operations of onnxruntime (see reading-onnx.md) are written out
first, and have the gradient of their parts. A setting that stands in none of the attributes below is refused
by name. Every rule is compared with finite differences in `tests/gradient/test_rules.py`.
"""

_EXPANDED = """\
## Written out before the walk

These are replaced by operations of the tables above; recurrent ones by one step a position of the sequence.
Lengths of sequences, peepholes, both directions and the first state are taken into account; clipping and
activations with parameters of their own are refused, and so are a softcap and past keys of Attention.
"""


def page() -> str:
    """Return the page as Markdown."""
    parts = [_HEAD.format(opset=OPSET)]
    for family, rules in FAMILIES.items():
        parts.append(f"## {family[0].upper()}{family[1:]}\n\n" + "".join(_table(rules)))
    parts.append(_EXPANDED + "\n" + "".join(_table(EXPANSIONS)))
    reasons = (f"| {_shown(key)} | {reason} |\n" for key, reason in sorted(WITHOUT.items()))
    parts.append("## Without a gradient\n\n| operation | because |\n| --- | --- |\n" + "".join(reasons))
    return "\n".join(parts)


def _table(rules: Mapping[Key, Rule]) -> Iterator[str]:
    yield "| operation | opsets | attributes | adjoint |\n| --- | --- | --- | --- |\n"
    for (domain, name), rule in sorted(rules.items()):
        keywords = [
            parameter.name
            for parameter in inspect.signature(rule).parameters.values()
            if parameter.kind is inspect.Parameter.KEYWORD_ONLY
        ]
        what = (inspect.getdoc(rule) or "").splitlines()[0].replace("|", "\\|")
        attributes = ", ".join(f"`{keyword}`" for keyword in keywords)
        yield f"| {_shown((domain, name))} | {_versions(domain, name)} | {attributes} | {what} |\n"


def _shown(key: Key) -> str:
    domain, name = key
    return f"`{domain}.{name}`" if domain else f"`{name}`"


def _versions(domain: str, name: str) -> str:
    found = sorted(
        schema.since_version
        for schema in onnx.defs.get_all_schemas_with_history()
        if (schema.domain, schema.name) == (domain, name)
    )
    return ", ".join(map(str, found)) or "onnxruntime's own"


if __name__ == "__main__":
    print(page(), end="")
