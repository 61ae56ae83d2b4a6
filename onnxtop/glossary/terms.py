"""All terms, by what prints them, and how one is looked up whatever its spelling."""

import functools
import re
from collections.abc import Mapping

from onnxtop.glossary import diff, gate, graph, landscape, measures, probe, report, trace
from onnxtop.glossary.term import Term

TERMS: Mapping[str, tuple[Term, ...]] = {
    "figures": measures.FIGURES,
    "report": report.TERMS,
    "check": gate.TERMS,
    "diff": diff.TERMS,
    "trace": trace.TERMS,
    "graph": graph.TERMS,
    "probe": probe.TERMS,
    "loss-barcode": landscape.TERMS,
}
"""The glossary, by what prints the words."""


def normal(name: str) -> str:
    """Return what spellings of a name have in common: case, hyphens, signs and plurals do not matter.

    >>> normal("SNR dB"), normal("np.null_mean"), normal("--input-shape"), normal("in × out"), normal("bars")
    ('snr db', 'np null mean', 'input shape', 'in x out', 'bar')
    """
    words = re.sub(r"[\W_]+", " ", name.casefold().replace("\N{MULTIPLICATION SIGN}", "x")).split()
    return " ".join([*words[:-1], *(_singular(word) for word in words[-1:])])


def _singular(word: str) -> str:
    return word.removesuffix("s") if len(word) > 3 and not word.endswith("ss") else word


def term_of(name: str, group: str = "") -> Term:
    """Return the term of this name, that of a ``group`` first, then the one that is called so, then any.

    Raises
    ------
    KeyError
        No term has the name.

    >>> term_of("NP").name, term_of("largest weight").name, term_of("largest", "trace").name
    ('np', 'scale', 'largest')
    """
    named = _named()[normal(name)]
    own = [term for term in named if term in TERMS.get(group, ())]
    return next((term for term in own or named if normal(term.name) == normal(name)), (own or named)[0])


@functools.cache
def _named() -> Mapping[str, list[Term]]:
    names: dict[str, list[Term]] = {}
    for terms in TERMS.values():
        for term in terms:
            for name in dict.fromkeys(map(normal, (term.name, *term.also))):
                names.setdefault(name, []).append(term)
    return names
