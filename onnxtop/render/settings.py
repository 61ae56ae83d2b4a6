"""What figures depend on, in plain words and before any markup: an option that nobody set is not named."""

from onnxtop.render.text import number
from onnxtop.results.report import Settings


def phrases(chosen: Settings, largest: str = "") -> list[str]:
    """Name everything that the figures depend on: a value without its convention is meaningless.

    ``largest`` says which weight the others are divided by, empty or in brackets.
    """
    return [
        f"convention {chosen.convention}",
        f"scale {number(chosen.scale)}{largest}",
        f"p {number(chosen.p)}",
        f"bias {chosen.bias}",
        f"conv {chosen.conv}",
        *(["without the null model"] if not chosen.structure else []),
        *(["with sortedness"] if chosen.sortedness else []),
        *(["with peepholes"] if chosen.peepholes else []),
        *(["counting what was probably not trained"] if chosen.count_fixed else []),
        *(["DGP not standardised"] if not chosen.standardise else []),
        *(["DGP not rescaled"] if not chosen.rescale else []),
        *([f"skips {chosen.skips}"] if chosen.skips != "keep" else []),
        *(f"from input {name}" for name in chosen.inputs),
        *(f"to output {name}" for name in chosen.outputs),
        *(f"input {name}={','.join(map(str, shape))}" for name, shape in chosen.input_shapes.items()),
        *(f"dim {name}={length}" for name, length in chosen.dims.items()),
    ]
