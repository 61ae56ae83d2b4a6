"""Names shortened together, so that they stay apart: what all share is left out, what most share goes first.

Names of layers are paths: their segments begin with a slash, a dot or a colon.
"""

import os.path
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from rich.cells import cell_len

from onnxtop.render.cells import elide

_MOST = 64
"""A name of more segments than this is cut as one."""


def without_common_ends(names: Sequence[str], ellipsis: str = "…") -> list[str]:
    """Take out of names what they all begin and end with, in whole segments: the rest tells them apart.

    >>> without_common_ends(["net_1/a/query/MatMul", "net_1/b/key/MatMul"])
    ['…/a/query/…', '…/b/key/…']
    """
    head, tail = common_ends(names)
    before, after = (ellipsis + head[-1]) if head else "", (tail[0].strip(".:") + ellipsis) if tail else ""
    return [f"{before}{rest}{after}" for rest in between(names, head, tail)]


def between(names: Sequence[str], head: str, tail: str) -> list[str]:
    """Return what of names stands between a head and a tail that all of them have.

    >>> between(["net_1/a/query/MatMul", "net_1/b/key/MatMul"], "net_1/", "/MatMul")
    ['a/query', 'b/key']
    """
    return [name[len(head) : len(name) - len(tail)] for name in names]


def common_ends(names: Sequence[str]) -> tuple[str, str]:
    """Return the whole segments that all names begin with, and that their rests end with.

    The separators beside are part of them. Something is left of each name.

    >>> common_ends(["net_1/a/query/MatMul", "net_1/b/key/MatMul"])
    ('net_1/', '/MatMul')
    """
    if len(set(names)) < 2:
        return "", ""
    head = _shared_segments(names)
    tail = _shared_segments([name[len(head) :][::-1] for name in names])
    return head, tail[::-1]


def _shared_segments(names: Sequence[str]) -> str:
    """Return the whole segments that all names begin with and that none of them ends with."""
    shared = os.path.commonprefix([name[:-1] for name in names])  # noqa: RUF071 (names are no paths)
    segments = shared[: max(map(shared.rfind, "/.:")) + 1]
    return segments if segments.strip("/.:") else ""  # a separator alone is not worth telling


def shortened(names: Sequence[str], width: int, ellipsis: str = "…") -> list[str]:
    """Shorten names to so many cells each, such that those that differ still do.

    Of a name that is too long the segments go that most names have; names that look alike then are cut
    around the place where they differ.

    >>> names = ["/decoder/layers.0/self_attn/k_proj/MatMul", "/decoder/layers.11/self_attn/q_proj/MatMul"]
    >>> shortened([*names, "/decoder/layers.11/mlp/up/MatMul"], 20)
    ['….0…/k_proj/MatMul', '…/self_attn/q_proj…', '….11/mlp/up/MatMul']
    """
    split = [re.findall(r"[/.:]?[^/.:]+|[/.:]", name) for name in names]
    counts = Counter(segment for segments in split for segment in dict.fromkeys(segments))
    short = [
        _without_segments(name, segments, counts, width, ellipsis)
        for name, segments in zip(names, split, strict=True)
    ]
    for _ in range(2 if width > 2 * len(ellipsis) else 0):
        for alike in _alike(names, short):
            apart = _around_their_difference([names[i] for i in alike], width, ellipsis)
            for i, cut in zip(alike, apart, strict=True):
                short[i] = cut
    return short


def _without_segments(
    name: str, segments: Sequence[str], counts: Mapping[str, int], width: int, ellipsis: str
) -> str:
    """Leave out segments, those of most names first and of these the foremost, until the name fits.

    Then those come back that have room nevertheless, the last one first.
    """
    if cell_len(name) <= width or not 1 < len(segments) <= _MOST:
        return elide(name, width, ellipsis)
    left: list[str | None] = list(segments)
    order = sorted(range(len(left)), key=lambda i: (-counts[segments[i]], i))[:-1]
    out = []
    while order and cell_len(_joined(left, ellipsis)) > width:
        out.append(order.pop(0))
        left[out[-1]] = None
    for i in reversed(out):
        left[i] = segments[i]
        if cell_len(_joined(left, ellipsis)) > width:
            left[i] = None
    return elide(_joined(left, ellipsis), width, ellipsis)


def _joined(segments: Sequence[str | None], ellipsis: str) -> str:
    """Join segments, with one ellipsis for each run of those that are left out."""
    return "".join(
        segment if segment is not None else ellipsis * (i == 0 or segments[i - 1] is not None)
        for i, segment in enumerate(segments)
    )


def _alike(names: Sequence[str], short: Sequence[str]) -> Iterator[list[int]]:
    """Yield the places of different names that look alike."""
    places: dict[str, list[int]] = {}
    for i, each in enumerate(short):
        places.setdefault(each, []).append(i)
    yield from (alike for alike in places.values() if len({names[i] for i in alike}) > 1)


def _around_their_difference(names: Sequence[str], width: int, ellipsis: str) -> list[str]:
    """Show of each name the place where they part, and a little of what stands before it."""
    shared = os.path.commonprefix(names)  # noqa: RUF071
    rests = [name[len(shared) :] for name in names]
    tail = len(os.path.commonprefix([rest[::-1] for rest in rests]))  # noqa: RUF071
    room = width - 2 * len(ellipsis)
    before = shared[max(len(shared) - room // 3, 0) :]
    return [
        f"{ellipsis}{elide(before + rest[: len(rest) - tail], room, ellipsis)}{ellipsis}" for rest in rests
    ]
