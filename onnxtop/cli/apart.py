"""Whether what is done with models is done apart: in processes that may die of it."""

import gc
import os
from collections.abc import Container
from dataclasses import replace
from typing import Any

from onnxtop.cli import is_program
from onnxtop.reader.address import STDIN
from onnxtop.work.options import WorkOptions
from onnxtop.work.processes import is_single

OFF = "off"
"""What the environment variable says where all is to be done in one process."""


def apart(work: WorkOptions, models: Container[Any], *, held: bool = False) -> WorkOptions:
    """Return how models are worked on: apart, unless ``ONNXTOP_APART`` is off.

    What comes on standard input, or is ``held`` in memory, none has but this process and copies of it.
    """
    wanted = os.environ.get("ONNXTOP_APART") != OFF
    if is_program() and not gc.get_freeze_count():
        gc.freeze()  # to look for garbage in what is loaded writes to all of it, which a copy then has itself
    if STDIN not in models and not held:
        return replace(work, apart=wanted)
    return replace(work, jobs=1, scheduler=None, apart=wanted and is_single())
