"""Answers that were given before, by what the files of the models hold and by all else they depend on.

Neither onnx nor a measure is loaded for an answer that is remembered: a second check of many models costs
little more than reading their bytes.
"""

import contextlib
import functools
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from onnxtop.auditing.options import AuditOptions, settings_of
from onnxtop.auditing.tool import ALGORITHMS
from onnxtop.errors import OnnxtopError
from onnxtop.options import declared
from onnxtop.reader.address import STDIN, beside, called, is_elsewhere
from onnxtop.results.report import Report
from onnxtop.rules import catalogue
from onnxtop.rules.rule import Policy
from onnxtop.work.content import Progress, combined, digest_of
from onnxtop.work.options import WorkOptions
from onnxtop.work.store import Store, key_of, store_of
from onnxtop.work.values import classes_of, dumps, loads

Answer = TypeVar("Answer")

_ANYHOW = WorkOptions()
"""No answer depends on who does the work."""


@dataclass(frozen=True)
class Question:
    """What is asked about models, and where the answer may be remembered.

    Attributes
    ----------
    store
        Where.
    about
        What is asked, and all that the answer depends on beside what the models hold.
    models
        The files of the models.
    kinds
        The classes that an answer is made of, as `classes_of` takes them.
    allowed
        Folders beside their own in which they may have weights.
    beside
        Whether weights in other files are worth reading for it.
    """

    store: Store
    about: tuple[object, ...]
    models: tuple[str, ...]
    kinds: tuple[type, ...]
    allowed: tuple[str | Path, ...] = ()
    beside: bool = True

    @classmethod
    def of_files(
        cls,
        about: str,
        models: Sequence[object],
        options: Any,
        *kinds: type,
        more: tuple[object, ...] = (),
        beside: bool = True,
        **regardless: object,
    ) -> "Question | None":
        """Return a question with options that say what is read, and where answers are remembered.

        ``regardless`` are values of options that the answer does not depend on.

        None where they are not: nothing is to be, a model has no file, or is to be run.
        """
        store = store_of(options.work)
        if not store or options.running.asked:
            return None
        paths = [os.fspath(model) for model in models if isinstance(model, str | os.PathLike)]
        if len(paths) < len(models):
            return None
        asked = replace(options, allow_external=(), work=_ANYHOW, **regardless)
        return cls(store, (about, asked, *more), tuple(paths), kinds, options.allow_external, beside)

    def answered(self, make: Callable[[], Answer]) -> Answer:
        """Return the answer: the one that is remembered, or else it is made and remembered."""
        key = self.key()
        known: Answer | None = self.known(key)
        if known is not None:
            return known
        answer = make()
        if key is not None and key == self.key():  # no file has changed meanwhile
            self.store.write(key, dumps(answer))
        return answer

    def key(self, progress: Progress | None = None) -> str | None:
        """Return the key of the answer, by what the files hold now; None if not all can be read."""
        contents = [content(path, self, progress) for path in self.models]
        return None if None in contents else key_of(ALGORITHMS, *self.about, *contents)

    def known(self, key: str | None) -> Any:
        """Return the answer that is remembered by a key; None if there is none."""
        data = None if key is None else self.store.read(key)
        if data is not None:
            with contextlib.suppress(ValueError):
                return loads(data, classes_of(*self.kinds))
        return None


def content(path: str, asked: Question, progress: Progress | None = None) -> str | None:
    """Return a digest of all that a model and the files hold that it keeps weights in; None if one is amiss.

    Which files these are is remembered too: the model says it, and is not parsed again.
    """
    if is_elsewhere(path):
        return None if path == STDIN else _stamps(path, asked.store)
    model = Path(path)
    try:
        own = digest_of(model, asked.store, progress)
        locations = _locations(model, own, asked.store)
        if locations and not asked.beside:
            return None
        others = (_inside(model, each, asked.allowed) for each in locations)
        return combined([own, *(digest_of(each, asked.store, progress) for each in others)])
    except (OSError, ValueError, RuntimeError):  # no such file, a name that none can have, a link to itself
        return None


def _stamps(address: str, store: Store) -> str | None:
    """Return a digest of what a server tells versions of a model and its files by; None where it does not.

    Nothing is fetched for it but, once, the outline of the model.
    """
    from onnxtop.reader.remote import stamp_of

    try:
        own = stamp_of(address)
        ways = [PurePosixPath(each) for each in _locations(address, own, store)] if own else []
        if own is None or any(way.is_absolute() or ".." in way.parts for way in ways):
            return None
        stamps = [own, *(stamp_of(beside(address, way)) for way in ways)]
        return None if None in stamps else combined(map(str, stamps))
    except OnnxtopError:
        return None


def _locations(model: Path | str, digest: str, store: Store) -> list[str]:
    key = key_of("locations", digest)
    known = store.get(key)
    if known is None:
        from onnxtop.reader.locations import locations_of  # loads onnx

        known = locations_of(model)
        store.put(key, known)
    return list(known)


def _inside(model: Path, location: str, allowed: Sequence[str | Path]) -> Path:
    """Return the real path of a file beside a model; ValueError if it is not to be read."""
    path = (model.parent / location).resolve()
    if not any(path.is_relative_to(Path(folder).resolve()) for folder in (model.parent, *allowed)):
        raise ValueError(f"{path} lies outside the folders of the model")
    return path


def report_question(model: object, options: AuditOptions) -> Question | None:
    """Return what an audit asks; None where its answer is never remembered.

    A list of layers is not worth reading weights in other files for.
    """
    if options.data is not None:
        return None
    kinds, beside = _kinds(options), options.topology
    return Question.of_files("report", [model], options, *kinds, beside=beside, layers=None)


def _kinds(options: AuditOptions) -> tuple[type, ...]:
    if not options.diagrams:
        return (Report,)
    from onnxtop.topology.persistence import Diagram  # loads NumPy

    return Report, Diagram


def recalled(
    model: object, options: AuditOptions, policy: Policy | None = None, progress: Progress | None = None
) -> Report | None:
    """Return the report that `onnxtop.audit` would give, if it is remembered; its files are read for that."""
    question = report_question(model, options)
    report = None if question is None else question.known(question.key(progress))
    if question is None or report is None:
        return None
    return finished(renamed(report, question.models[0]), options, policy)


def renamed(report: Report, path: str) -> Report:
    """Return a report as that of a file of another name."""
    path = called(path)
    graph = report.graph
    return replace(
        report,
        model=replace(report.model, path=path),
        graph=None if graph is None else replace(graph, model=path),
    )


def finished(report: Report, options: AuditOptions, policy: Policy | None) -> Report:
    """Return a report as it is shown: judged by a policy, with the layers that are asked for."""
    report = catalogue.judged(replace(report, settings=settings_of(options)), policy, _flags())
    return replace(
        report,
        layers=tuple(layer for layer in report.layers if options.shown.search(layer.name)),
        findings=tuple(f for f in report.findings if f.layer is None or options.shown.search(f.layer)),
    )


@functools.cache
def _flags() -> Mapping[str, str]:
    return {name: each.flag for name, each in declared(AuditOptions).items()}
