"""``onnxtop loss-barcode``: minima, the passes between them, their bars, the TO-score."""

import math
import os
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from onnxtop.cli import EXIT_CODES, messages
from onnxtop.cli.analysis import PATIENCE, once, readable
from onnxtop.cli.models import all_models
from onnxtop.cli.options import WORK, options_of
from onnxtop.cli.outputs import check_folder, write_folder
from onnxtop.cli.verb import Run, TellingVerb
from onnxtop.errors import ModelError, UsageError
from onnxtop.landscape.options import BarcodeOptions
from onnxtop.results.outcome import INTERRUPTED
from onnxtop.work.options import WorkOptions

if TYPE_CHECKING:
    from onnxtop.landscape.story import Progress
    from onnxtop.results.landscape import LossLandscape


@click.command("loss-barcode", cls=TellingVerb, result="landscape", epilog=EXIT_CODES)
@click.argument("models", metavar="MODEL...", nargs=-1, required=True)
@click.option(
    "--data",
    type=click.Path(),
    metavar="FILE",
    required=True,
    help="Arrays named as the inputs, with labels or target (.npz); *_test beside them is a test split.",
)
@click.option(
    "--write-path",
    type=click.Path(),
    metavar="DIR",
    help="Write each path that ends a bar (points, .npz) and the network at its pass (.onnx) there.",
)
@options_of(
    BarcodeOptions,
    *("minima", "start", "optimiser", "epochs", "polish", "finder", "gradients", "refine", "align", "pairs"),
    *("loss", "batchnorm", "l2", "label_smoothing", "budget", "curvature", "state"),
    *("allow_external", "max_download", "limits", "seed", "jobs"),
)
@options_of(WORK, "memory")
@click.option(
    "--time-limit",
    type=click.FloatRange(min=0, min_open=True),
    default=math.inf,
    metavar="SECONDS",
    help="End after so long, with what was found until then. Default: never.",
)
def command(
    run: Run,
    models: tuple[str, ...],
    data: str,
    write_path: str | None,
    memory: float | None,
    time_limit: float,
    **options: Any,
) -> int:
    """Minima of the loss, passes between them, bars, TO-score.

    Each MODEL is a minimum: an ONNX file, a folder (every *.onnx below it) or a pattern; all of one
    architecture. Deaths are upper bounds; lengths and the TO-score are where the minima are at rest.
    """
    paths = all_models(models)
    if not os.path.lexists(data):
        raise UsageError(f"{data}: wanted data, found no such file; see --data")
    run.check([*paths, data, *filter(None, [options["state"]])])
    if write_path is not None:
        check_folder(write_path, paths)

    work = WorkOptions(memory=memory)
    with run.whole(), readable(paths[0], "find minima and paths between them"):
        search = partial(_landscape, paths, data, options, write_path is not None)
        end = time.monotonic() + time_limit
        landscape, passes = once(run, search, paths, work, seconds=time_limit, grace=PATIENCE)
    run.write(landscape)
    if write_path is not None:
        write_folder(write_path, passes)
        run.voice.note(f"wrote {write_path}")
    if not any(note.startswith("interrupted") for note in landscape.notes):
        return 0
    if time.monotonic() >= end and not run.interrupts.seen:
        messages.error(f"ended after {time_limit:g} s, see --time-limit: this is what was found until then")
        return ModelError.exit_code
    messages.error("interrupted: this is what was found until then")
    return INTERRUPTED


def _landscape(
    paths: Sequence[str], data: str, options: Mapping[str, Any], passes: bool, progress: "Progress"
) -> "tuple[LossLandscape, Sequence[tuple[str, bytes]]]":
    """Return the landscape, and its passes as files if they are wanted."""
    from onnxtop.landscape.story import loss_barcode
    from onnxtop.landscape.writing import pass_files
    from onnxtop.reader.loading import load

    reading = {name: options[name] for name in ("allow_external", "max_download", "limits")}
    first = load(paths[0], **reading)
    landscape = loss_barcode([first, *paths[1:]], data, progress=progress, **options)
    return landscape, list(pass_files(landscape, first)) if passes else []
