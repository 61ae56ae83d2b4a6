"""``onnxtop schema``: the JSON Schema of what a verb writes, as shipped."""

from importlib.resources import files

import click

from onnxtop.cli import EXIT_CODES, Command
from onnxtop.cli.outputs import say

_SHIPPED = {
    "report": "report",
    "check": "report",
    "layers": "report",
    "diff": "diff",
    "trace": "trace",
    "graph": "graph",
    "probe": "probe",
    "loss-barcode": "loss-barcode",
}
"""Verb to the one whose schema it has; reports, checks and layers have one shape."""


@click.command("schema", cls=Command, epilog=EXIT_CODES)
@click.argument("verb", metavar="[VERB]", type=click.Choice(list(_SHIPPED)), default="report")
def command(verb: str) -> int:
    """Print the JSON Schema of what a verb writes.

    VERB is one that writes JSON; report, check and layers have one shape, the default. A line of their
    -f jsonl is a whole document of that shape.
    """
    shipped = _SHIPPED[verb]
    text = (files("onnxtop.results") / f"{shipped}.schema.json").read_text(encoding="utf-8")
    say(text.replace(f"onnxtop:schema:{shipped}:", f"onnxtop:schema:{verb}:"))
    return 0
