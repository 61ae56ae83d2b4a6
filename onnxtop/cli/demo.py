"""``onnxtop demo``: the report of a small network that comes with onnxtop."""

from pathlib import Path

import click

from onnxtop.cli import EXIT_CODES
from onnxtop.cli.analysis import run_audit
from onnxtop.cli.verb import Run, Verb

MODEL = Path(__file__).with_name("demo.onnx")
"""The sample MLP, as ``sample_models/`` has it."""

_SHOWN = "a trained network that reads handwritten digits, three layers; its file, for any other verb: "


@click.command("demo", cls=Verb, result="report", epilog=EXIT_CODES)
def command(run: Run) -> int:
    """Show a report on a small network that comes with onnxtop.

    What it shows, and where its file is, is told on stderr.
    """
    model = _as_one_would_name_it(MODEL)
    run.voice.say(f"{_SHOWN}{model}")
    return run_audit(run, (model,), "never", {})


def _as_one_would_name_it(path: Path) -> str:
    """Return a path from the working directory, if it lies below."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
