"""The keywords of public functions, written from the options that they stand for.

``python -m tests.keywords`` writes ``keywords.py`` of each room; a test compares.
"""

import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnxtop
from onnxtop.auditing.options import AuditOptions
from onnxtop.comparison.options import DiffOptions, GateOptions
from onnxtop.landscape.options import BarcodeOptions
from onnxtop.loss.options import LossOptions, ProbeOptions
from onnxtop.options import declared, keywords
from onnxtop.tracing.options import TraceOptions

FOLDER = Path(onnxtop.__file__).parent


@dataclass(frozen=True)
class Made:
    """A dictionary of keywords: what it stands for, what of it stands in another one, what is left out."""

    options: type
    base: type | None = None
    without: tuple[str, ...] = ()


MADE: Mapping[str, tuple[Made, ...]] = {
    "auditing": (Made(AuditOptions),),
    "comparison": (Made(DiffOptions), Made(GateOptions, AuditOptions, ("baseline",))),
    "tracing": (Made(TraceOptions, AuditOptions),),
    "loss": (Made(LossOptions), Made(ProbeOptions, LossOptions)),
    "landscape": (Made(BarcodeOptions, LossOptions),),
}
"""By room; ``baseline`` of a check is a parameter of its own, which takes more."""


def text(room: str) -> str:
    """Return what should stand in a room's module."""
    classes = [list(_class(each)) for each in MADE[room]]
    homes = {name: home for each in MADE[room] for name, home in _homes(each).items()}
    lines = sorted({(home, name) for name, home in homes.items() if home != f"onnxtop.{room}.keywords"})
    grouped: dict[str, list[str]] = {}
    for home, name in lines:
        grouped.setdefault(home, []).append(name)
    imports = [f"from {home} import {', '.join(names)}" for home, names in grouped.items()]
    outside = [line for line in imports if "from onnxtop" not in line]
    inside = [line for line in imports if "from onnxtop" in line]
    parts = ["\n".join(part) for part in (outside, inside) if part]
    head = '"""The options of this room as keywords, for type checkers; made by ``tests/keywords.py``."""'
    return "\n\n".join([head, *parts]) + "\n\n\n" + "\n\n\n".join("\n".join(each) for each in classes) + "\n"


def _name(options: type) -> str:
    return options.__name__.replace("Options", "Keywords")


def _own(made: Made) -> dict[str, Any]:
    """Return the hints of the keywords that do not stand in the base."""
    taken = keywords(made.base) if made.base else {}
    forms = {name: each.option.form for name, each in declared(made.options).items()}
    return {
        name: str | Path | None if forms.get(name) == "file" else hint
        for name, hint in keywords(made.options).items()
        if name not in taken and name not in made.without
    }


def _class(made: Made) -> Iterator[str]:
    yield f"class {_name(made.options)}({_name(made.base) if made.base else 'TypedDict'}, total=False):"
    yield f'    """Keywords for `{made.options.__name__}`."""'
    yield ""
    yield from (f"    {name}: {_shown(hint)}" for name, hint in _own(made).items())


def _homes(made: Made) -> dict[str, str]:
    """Return the names that a class needs, and the modules that have them."""
    found = {} if made.base else {"TypedDict": "typing"}
    if made.base:
        found[_name(made.base)] = made.base.__module__.replace(".options", ".keywords")
    for hint in _own(made).values():
        found |= {each.__name__: _module(each) for each in _parts(hint) if _module(each) != "builtins"}
    return found


def _module(hint: Any) -> str:
    return {"pathlib._local": "pathlib"}.get(hint.__module__, hint.__module__)


def _parts(hint: Any) -> Iterator[Any]:
    """Yield what a type is made of."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        yield from _parts(inner[0])
    elif origin is typing.Literal:
        yield hint
    elif origin is None:
        yield from () if hint in (None, ..., types.NoneType) else (hint,)
    else:
        yield from () if origin in (tuple, typing.Union, types.UnionType) else (origin,)
        for each in inner:
            yield from _parts(each)


def _shown(hint: Any) -> str:
    """Write a type as source."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return _shown(inner[0])
    if origin in (typing.Union, types.UnionType):
        return " | ".join(map(_shown, inner))
    if origin is typing.Literal:
        return "Literal[" + ", ".join(f'"{word}"' for word in inner) + "]"
    if hint in (None, ..., types.NoneType):
        return "..." if hint is ... else "None"
    return origin.__name__ + f"[{', '.join(map(_shown, inner))}]" if origin else str(hint.__name__)


if __name__ == "__main__":
    for room in MADE:
        (FOLDER / room / "keywords.py").write_text(text(room), encoding="utf-8")
