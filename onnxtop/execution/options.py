"""What may be asked of a run of a model."""

from dataclasses import dataclass
from typing import Annotated

from onnxtop.options import Checked, Option

LEAST_MEMORY = 0.5
"""GiB that a run may have at least: what runs a model takes half of it before there is one."""


@dataclass(frozen=True)
class RunOptions(Checked):
    """Whether a model is run, on what, and within which limits.

    Data alone asks for a run too. The memory is address space, where the system can limit that.
    """

    execute: Annotated[
        bool,
        Option(
            "Run the model too, in a process of its own, on inputs made from the seed or --data.",
            flag="--run",
        ),
    ] = False
    samples: Annotated[
        str | None,
        Option(
            "Run on these samples instead: .npz, .npy or a folder as probe reads them.",
            flag="--data",
            metavar="PATH",
            form="file",
        ),
    ] = None
    draws: Annotated[int, Option("How many inputs are made.", metavar="N", least=2, needs=("execute",))] = 4
    memory_limit: Annotated[
        float | None,
        Option(
            "Memory for a run; 4 and eight times the model if not given.",
            metavar="GIB",
            least=LEAST_MEMORY,
            in_file=True,
            needs=("execute", "samples"),
        ),
    ] = None

    @property
    def asked(self) -> bool:
        """Whether the model is to be run at all."""
        return self.execute or self.samples is not None
