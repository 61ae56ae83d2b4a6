"""How quickly the command line starts.

Beside importing click, the least that such a program can take.
"""

from benchmarks._measuring import Figure, processes, ratio
from benchmarks._rows import row

CLICK = ("-c", "import click")


def beside_click(*, arguments: tuple[str, ...]) -> Figure:
    """Return the time of a process beside one that imports click."""
    return ratio(*(each.cpu for each in processes(arguments, CLICK, rounds=11)))


for _name, _what, _arguments in (
    ("help", "`onnxtop --help`", ("-m", "onnxtop", "--help")),
    ("version", "`onnxtop --version`", ("-m", "onnxtop", "--version")),
    ("report-help", "`onnxtop report --help`", ("-m", "onnxtop", "report", "--help")),
    ("import", "`import onnxtop`", ("-c", "import onnxtop")),
):
    row(
        _name, f"{_what}, over `import click`", "x",
        at_most=3, pace="quick", arguments={"arguments": _arguments},
    )(beside_click)  # fmt: skip
