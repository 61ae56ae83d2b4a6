"""``onnxtop schema``: the JSON Schema of the report, as shipped."""

from importlib.resources import files

import click

from onnxtop.cli import EXIT_CODES


@click.command("schema", epilog=EXIT_CODES)
def command() -> int:
    """Print the JSON Schema of the report.

    It is that of one model: several make a list under "reports" with -f json, or one a line with -f jsonl.
    """
    click.echo((files("onnxtop.results") / "report.schema.json").read_text(encoding="utf-8"), nl=False)
    return 0
