"""Pictures of the documentation: worked examples, drawn from the numbers that onnxtop gives for them.

Run as a script, this writes the pictures in ``docs/pictures`` anew; with a browser (and Playwright, see
``tests/browser/requirements.txt``) also those of pages as a reader sees them. Their bytes depend on the
browser, so no test compares them::

    python -m tests.pictures [CHROMIUM]
"""

import itertools
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

import onnxtop
from tests.browser.chromium import DESKTOP, PHONE, View, opened, started

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "pictures"

LAYER = np.array([[1.0, 0.5], [0.25, -0.75]])
"""The layer of the worked example of neural persistence."""

SPREAD = np.array([[1.0, 0.6, 0.1], [0.8, 0.4, 0.2]])
"""The layer of the worked example of the null model: its four largest weights stand in two columns."""

FIRST = np.array([[2.0, -1.0], [-2.0, 1.0]])
SECOND = np.array([[2.0, 1.0], [-1.0, -2.0]])
"""The network of the worked example of deep graph persistence."""

MINIMA = (0.0, 0.5, 1.0)
PASSES = ((0, 1, 2.0), (1, 2, 3.0), (0, 2, 5.0))
"""The landscape of the worked example of the loss barcode."""

INK, QUIET, STRONG, WEAK = "#37474f", "#90a4ae", "#3f51b5", "#c5cae9"

Point = tuple[float, float]


def picture(width: int, height: int, title: str, parts: Iterable[str]) -> str:
    """Return a whole SVG file on a white sheet."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="13" fill="{INK}" role="img">\n'
        f"<title>{title}</title>\n"
        f'<rect width="{width}" height="{height}" fill="#fff"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def line(start: Point, end: Point, width: float = 1, color: str = INK, dash: str = "") -> str:
    """Return a straight line."""
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return (
        f'<line x1="{start[0]:g}" y1="{start[1]:g}" x2="{end[0]:g}" y2="{end[1]:g}" '
        f'stroke="{color}" stroke-width="{width:g}"{dashed}/>'
    )


def words(at: Point, text: str, anchor: str = "middle", color: str = INK) -> str:
    """Return a line of text."""
    return f'<text x="{at[0]:g}" y="{at[1]:g}" text-anchor="{anchor}" fill="{color}">{text}</text>'


def neuron(at: Point, name: str) -> str:
    """Return a neuron with its name."""
    disc = f'<circle cx="{at[0]:g}" cy="{at[1]:g}" r="12" fill="#fff" stroke="{INK}" stroke-width="1.5"/>'
    return disc + words((at[0], at[1] + 4.5), name)


def between(start: Point, end: Point, share: float) -> Point:
    """Return a point on the way, a little above it."""
    return (start[0] + share * (end[0] - start[0]), start[1] + share * (end[1] - start[1]) - 5)


def filtration() -> str:
    """Draw how the weights of a layer enter, and the bar that each of them ends."""
    diagram = onnxtop.layer_persistence(LAYER).diagram
    ends = sorted((float(death) for _, death in diagram.points), reverse=True)
    edges = sorted(np.ndindex(LAYER.shape), key=lambda cell: -abs(LAYER[cell]))
    in_tree = {(int(row), int(column)) for _, row, column in diagram.generators}
    parts: list[str] = []
    for stage, (row, column) in enumerate(edges):
        left = 40 + 150 * stage
        rows = [(left, 50.0), (left, 120.0)]
        columns = [(left + 80, 50.0), (left + 80, 120.0)]
        for earlier in range(stage):
            r, c = edges[earlier]
            parts.append(line(rows[r], columns[c], 4 * abs(LAYER[r, c]), QUIET))
        is_bar = (row, column) in in_tree
        strength = abs(LAYER[row, column])
        parts.append(line(rows[row], columns[column], 4 * strength, STRONG, "" if is_bar else "5 4"))
        parts += [neuron(at, name) for at, name in zip(rows + columns, "abpq", strict=True)]
        parts.append(words((left + 40, 22), f"strength {strength:g}"))
        told = f"ends a bar: {1 - strength:g} long" if is_bar else "inside: no bar"
        parts.append(words((left + 40, 158), told, color=STRONG if is_bar else QUIET))
    parts.append(words((40, 192), "bars, from birth 1 down:", "start"))
    for place, end in enumerate([*ends, 0.0]):
        y = 210 + 16 * place
        parts.append(line((40, y), (40 + 240 * (1 - end), y), 7, STRONG if end else INK))
        name = f"1 to {end:g}" if end else "1 to 0: the essential class, which never ends"
        parts.append(words((50 + 240 * (1 - end), y + 4.5), name, "start"))
    return picture(
        620, 280, "A layer of two inputs and two outputs: its weights enter, strongest first", parts
    )


def shuffles() -> str:
    """Draw neural persistence of all arrangements of a layer's weights, and where the layer itself is."""
    values = [
        onnxtop.layer_persistence(np.array(order).reshape(SPREAD.shape)).normalized
        for order in itertools.permutations(SPREAD.ravel())
    ]
    here = onnxtop.layer_persistence(SPREAD).normalized
    mean, deviation = float(np.mean(values)), float(np.std(values))
    low, high = 0.60, 0.70

    def x(value: float) -> float:
        return 60 + (value - low) / (high - low) * 500

    parts = [line((60, 170), (560, 170))]
    for value, count in zip(*np.unique(np.round(values, 9), return_counts=True), strict=True):
        share = count / len(values)
        parts.append(
            f'<rect x="{x(value) - 14:.4g}" y="{170 - 130 * share:.4g}" width="28" '
            f'height="{130 * share:.4g}" fill="{QUIET}"/>'
        )
        parts.append(words((x(value), 160 - 130 * share), f"{100 * share:.0f} % of all arrangements"))
        parts.append(words((x(value), 188), f"{value:.4f}"))
    parts.append(line((x(mean), 110), (x(mean), 170), 2, INK, "4 3"))
    parts.append(words((x(mean), 102), f"mean {mean:.4f}"))
    parts.append(line((x(mean), 205), (x(here), 205), 2, STRONG))
    parts.append(
        words(
            (x(here), 224),
            f"the layer: {(here - mean) / deviation:.1f} standard deviations above",
            "middle",
            STRONG,
        )
    )
    return picture(
        620, 240, "Neural persistence of a layer beside that of its weights in all other places", parts
    )


def paths() -> str:
    """Draw a network of three ranks with its strengths, the paths, and the matrix that they make."""
    strengths = [np.abs(each) / 2 for each in (FIRST, SECOND)]
    ranks = [[(60.0 + 170 * rank, y) for y in (60.0, 150.0)] for rank in range(3)]
    parts: list[str] = []
    for rank, strength in enumerate(strengths):
        for row, column in np.ndindex(strength.shape):
            start, end = ranks[rank][row], ranks[rank + 1][column]
            weight = float(strength[row, column])
            parts.append(line(start, end, 4 * weight, STRONG if weight == 1 else QUIET))
            parts.append(words(between(start, end, 0.3), f"{weight:g}"))
    for rank, names in enumerate(("ab", "hk", "pq")):
        parts += [neuron(at, name) for at, name in zip(ranks[rank], names, strict=True)]
    for rank, name in enumerate(("inputs", "hidden", "outputs")):
        parts.append(words((60 + 170 * rank, 25), name, color=QUIET))
    best = np.max(np.minimum(strengths[0][:, :, None], strengths[1][None]), axis=1)
    parts.append(words((530, 40), "S"))
    for row, column in np.ndindex(best.shape):
        parts.append(words((510 + 40 * column, 80 + 35 * row), f"{best[row, column]:g}"))
    parts += [words((475, 80 + 35 * row), name, color=QUIET) for row, name in enumerate("ab")]
    parts += [words((510 + 40 * column, 58), name, color=QUIET) for column, name in enumerate("pq")]
    parts.append(
        words(
            (310, 205), "a path is as strong as its weakest weight; the strongest path joins input and output"
        )
    )
    return picture(
        620, 225, "A network of six neurons, its paths, and the strongest between inputs and outputs", parts
    )


def landscape() -> str:
    """Draw a loss with three minima and two passes, and the bars of its barcode."""
    bars = onnxtop.merge_tree_barcode(MINIMA, PASSES).bars

    def y(height: float) -> float:
        return 225 - 48 * height

    places = [
        (60, 4.2),
        (120, MINIMA[0]),
        (200, PASSES[0][2]),
        (270, MINIMA[1]),
        (345, PASSES[1][2]),
        (420, MINIMA[2]),
        (480, 4.2),
    ]
    parts = [
        f'<path d="{_smooth([(x, y(h)) for x, h in places])}" fill="none" stroke="{INK}" stroke-width="2"/>'
    ]
    for (x, height), name in zip(
        places[1:-1], ("minimum 0", "pass 2", "minimum 0.5", "pass 3", "minimum 1"), strict=True
    ):
        below = name.startswith("minimum")
        parts.append(words((x, y(height) + (20 if below else -10)), name))
    for place, (birth, death) in enumerate(bars):
        x = 540 + 30 * place
        parts.append(line((x, y(birth)), (x, y(death)), 8, STRONG))
        parts.append(words((x, y(death) - 8), f"{death - birth:g}", color=STRONG))
    parts.append(words((555, 250), "bars"))
    return picture(620, 262, "A loss with three minima, the passes between them, and its barcode", parts)


def _smooth(points: Sequence[Point]) -> str:
    """Return a path that is level at every point but the ends."""
    told = [f"M{points[0][0]:g},{points[0][1]:g}"]
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        middle = (x0 + x1) / 2
        told.append(f"C{middle:g},{y0:g} {middle:g},{y1:g} {x1:g},{y1:g}")
    return " ".join(told)


DRAWN = {
    "neural-persistence.svg": filtration,
    "null-model.svg": shuffles,
    "deep-graph-persistence.svg": paths,
    "loss-barcode.svg": landscape,
}

_MLP = "sample_models/mlp_torch_dynamo.onnx"

PLOTTED = {
    "trace.svg": ("trace", "sample_models/checkpoints/"),
    "layers.svg": ("plot", _MLP),
    "bars.svg": ("plot", _MLP, "--kind", "bars"),
}
"""Pictures that a verb draws."""

SEEN = {"report.png": DESKTOP, "report-phone.png": PHONE}
"""Pictures of the first screen of a report in HTML, and the windows they are seen in."""


def plot() -> None:
    """Write the pictures that verbs draw."""
    for name, arguments in PLOTTED.items():
        _onnxtop(*arguments, "-q", "-o", str(FOLDER / name))


def look(program: str) -> None:
    """Write pictures of a report as a browser shows it."""
    with tempfile.TemporaryDirectory() as folder, started(program) as browser:
        page = Path(folder, "report.html")
        _onnxtop("report", _MLP, "-o", str(page))
        for name, size in SEEN.items():
            with opened(browser, page.as_uri(), View(size)) as window:
                window.picture(FOLDER / name)


def _onnxtop(*arguments: str) -> None:
    command = [sys.executable, "-m", "onnxtop", *arguments, "--cache", "off"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)


if __name__ == "__main__":
    for name, draw in DRAWN.items():
        (FOLDER / name).write_text(draw(), encoding="utf-8")
    plot()
    if len(sys.argv) > 1:
        look(sys.argv[1])
