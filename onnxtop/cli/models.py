"""From the arguments of a verb to the models they name: files, folders and patterns."""

import codecs
import contextlib
import errno
import fnmatch
import glob
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from onnxtop.errors import ModelError, NothingToAnalyseError, UsageError
from onnxtop.reader.address import SCHEMES, STDIN, is_elsewhere, scheme_of
from onnxtop.reader.foreign import HEAD, is_text, kind_of
from onnxtop.results.outcome import FailedModel
from onnxtop.work.beside import usable
from onnxtop.work.folders import is_model_name, models_below


def find_models(arguments: Iterable[str]) -> list[str | FailedModel]:
    """Return the paths of the models in the order of the arguments, each once.

    A folder stands for every ``*.onnx`` below it, sorted; an address is one model, and ``-`` is standard
    input. A name that exists is taken literally, even if it
    looks like a pattern; a file in which models beside or above it keep weights stands for these models. What
    names no model is in the list as a failure.
    """
    found: dict[str | Path, str | FailedModel] = {}
    for argument in arguments:
        for model in _named_by(argument):
            path = model.path if isinstance(model, FailedModel) else model
            found.setdefault(_same(path), model)
    return list(found.values())


def without_strays(arguments: Iterable[str]) -> tuple[list[str], list[str]]:
    """Return the arguments, and apart from them the files that are neither a model nor a model's data."""
    from onnxtop.reader.locations import is_model  # loads onnx: not for help

    kept: list[str] = []
    strays: list[str] = []
    for argument in arguments:
        named = is_model_name(argument) or not os.path.isfile(argument)
        stray = not named and not _holders(argument) and not is_model(Path(argument))
        (strays if stray else kept).append(argument)
    return kept, strays


def all_models(arguments: Iterable[str]) -> list[str]:
    """Return the paths of the models, for a verb that needs every one of them.

    Raises
    ------
    ModelError, NothingToAnalyseError
        An argument names no model.
    """
    found = find_models(arguments)
    for failed in (model for model in found if isinstance(model, FailedModel)):
        kind = NothingToAnalyseError if failed.code == NothingToAnalyseError.exit_code else ModelError
        raise kind(f"{failed.path}: {failed.message}")
    return [model for model in found if isinstance(model, str)]


def one_model(argument: str) -> str:
    """Return the path of the one model that an argument names.

    Raises
    ------
    UsageError
        It names several.
    ModelError, NothingToAnalyseError
        It names none.
    """
    found = all_models((argument,))
    if len(found) != 1:
        raise UsageError(f"wanted one model, found {len(found)} in {argument}: name one of them")
    return found[0]


def _same(path: str) -> str | Path:
    """Return what two names of one file have in common; a link is a file of its own."""
    if is_elsewhere(path):
        return path
    whole = Path(path)
    return Path(os.path.realpath(whole.parent), whole.name)


def _named_by(argument: str) -> Iterator[str | FailedModel]:
    if is_elsewhere(argument):
        yield argument
    elif _is_there(argument):
        yield from _below(argument) if os.path.isdir(argument) else (_holders(argument) or (argument,))
    elif glob.has_magic(argument):
        yield from _matches(argument)
    elif scheme := scheme_of(argument):
        known = ", ".join(SCHEMES)
        yield FailedModel(
            argument, ModelError.exit_code, f"wanted an address of {known}, found one of {scheme}"
        )
    else:
        yield FailedModel(argument, ModelError.exit_code, "no such file or folder")


def _is_there(path: str) -> bool:
    """Tell whether there is something of this name, or may be: in a folder that may not be looked into."""
    try:
        os.lstat(path)
    except PermissionError:
        return not glob.has_magic(path)
    except (OSError, ValueError):
        return False
    return True


_MOST = 2**26
"""Bytes of a list: half a million names."""


def listed(file: str) -> tuple[str, ...]:
    """Return the arguments that a file lists, or standard input for ``-``: one a line, or with NUL between.

    Raises
    ------
    UsageError
        It cannot be read, has no end, or is a model itself, or some other file of which it can be told.
    """
    if file == STDIN and sys.stdin is None:
        raise UsageError("-: wanted a list of models on standard input, which is closed")
    with usable(file, "a list of models"), contextlib.ExitStack() as stack:
        stream = sys.stdin.buffer if file == STDIN else stack.enter_context(Path(file).open("rb"))
        content = stream.read(_MOST + 1)  # it may be a pipe, as of a shell's <(...)
        if found := _no_list(file, content):
            raise UsageError(f"{file}: wanted a list of models, found {found}")
        if len(content) > _MOST:
            raise ValueError(f"it has more than {_MOST:,} bytes")
    content = content.removeprefix(codecs.BOM_UTF8)
    names = content.split(b"\0") if b"\0" in content else content.splitlines()
    return tuple(os.fsdecode(name) for name in names if name)


def _no_list(file: str, content: bytes) -> str:
    """Say what is in the place of a list, nothing if it may be one: names may hold almost anything."""
    kind = kind_of(content[:HEAD])
    if kind is not None:
        return f"{kind.found}: write names into a text, one a line"
    if is_text(content[:HEAD].replace(b"\0", b"")):
        return ""
    from onnxtop.reader.locations import is_model  # loads onnx: not for a list

    model = is_model_name(file) or is_model(content) or (file != STDIN and is_model(Path(file)))
    return "a model: name it without --files-from" if model else ""


def _holders(path: str) -> list[str]:
    """Return the models that keep weights in a file, named as it is; none for one that is a model itself."""
    if is_model_name(path) or not os.path.isfile(path):
        return []
    from onnxtop.reader.locations import models_of  # loads onnx: not for help

    found = models_of(Path(path))
    return [str(model) if Path(path).is_absolute() else os.path.relpath(model) for model in found]


def _below(folder: str) -> Iterator[str | FailedModel]:
    paths, refused = models_below(folder)
    yield from paths
    yield from map(_lost, refused)
    if not paths and not refused:
        yield FailedModel(folder, NothingToAnalyseError.exit_code, "no .onnx file in this folder or below it")


def _lost(error: OSError) -> FailedModel:
    return FailedModel(str(Path(error.filename)), ModelError.exit_code, f"cannot be read: {error.strerror}")


def _matches(pattern: str) -> Iterator[str | FailedModel]:
    """Take matching files as they are; a folder stands for the models below it.

    A folder that cannot be looked into is a failure: what the pattern stands for may be in it.
    """
    models: list[str | FailedModel] = []
    refused: list[OSError] = []
    for path in sorted(_expanded(pattern, refused)):
        if os.path.isdir(path):
            models += [model for model in _below(path) if not _is_empty(model)]
        else:
            models.append(path)
    models += map(_lost, refused)
    yield from models or [FailedModel(pattern, ModelError.exit_code, "no model matches this pattern")]


def _expanded(pattern: str, refused: list[OSError]) -> Iterator[str]:
    """Expand a pattern; ``**`` stands for all folders below, without links, which may lead in circles."""
    parts = Path(pattern).parts
    if "**" not in parts:
        yield from _globbed(pattern, refused)
        return
    start, rest = parts[: parts.index("**")], parts[parts.index("**") + 1 :]
    for folder in filter(os.path.isdir, _expanded(str(Path(*start)), refused) if start else ["."]):
        for below, inner, _ in os.walk(folder, onerror=refused.append) if rest else [(folder, [], [])]:
            inner[:] = sorted(name for name in inner if not name.startswith("."))
            yield from _expanded(str(Path(glob.escape(below), *rest)), refused) if rest else [below]


def _globbed(pattern: str, refused: list[OSError]) -> Iterator[str]:
    """Do what `glob.glob` does, which passes over what it may not look into without a word."""
    folder, name = os.path.split(pattern)
    for place in _globbed(folder, refused) if glob.has_magic(folder) else [folder]:
        for found in _matching(place, name, refused):
            yield os.path.join(place, found)  # noqa: PTH118 (Path drops a slash at the end, and "./")


def _matching(folder: str, name: str, refused: list[OSError]) -> list[str]:
    """Return the names in a folder that one part of a pattern stands for; none in what is no folder."""
    try:
        if not glob.has_magic(name):
            os.lstat(os.path.join(folder, name))  # noqa: PTH118 (as above)
            return [name]
        with os.scandir(folder or ".") as entries:
            names = [entry.name for entry in entries]
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return []
    except OSError as error:
        if error.errno != errno.ELOOP:  # a link to itself
            refused.append(error)
        return []
    seen = names if name.startswith(".") else [each for each in names if not each.startswith(".")]
    return fnmatch.filter(seen, name)


def keep_weights_in(models: Iterable[str], allowed: Iterable[str], file: Path) -> bool:
    """Tell whether one of some models keeps weights in a file below its folder, or below one that is allowed.

    Models are parsed only where it lies there.
    """
    allowed = [os.path.realpath(folder) for folder in allowed]
    near = [
        Path(model)
        for model in models
        if not is_elsewhere(model)
        and any(map(file.is_relative_to, (os.path.realpath(Path(model).parent), *allowed)))
    ]
    if not near:
        return False
    from onnxtop.reader.locations import files_of  # loads onnx: not for help

    weights = {place for model in near for place in files_of(model)}
    return any(os.path.exists(place) and place.samefile(file) for place in weights)


def _is_empty(model: str | FailedModel) -> bool:
    return isinstance(model, FailedModel) and model.code == NothingToAnalyseError.exit_code
