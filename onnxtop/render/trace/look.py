"""What runs of training look like in a console and in a notebook."""

from typing import Any

from onnxtop.render.look import judged
from onnxtop.render.trace.facts import verdict
from onnxtop.render.trace.html import values
from onnxtop.results.trace import Trace
from onnxtop.results.words import counted


def _title(trace: Trace) -> str:
    return counted(len(trace.checkpoints), "checkpoint")


def _card(trace: Trace) -> dict[str, Any]:
    told: Any = values(trace)
    return {
        "tiles": told["figures"],
        "sentences": [trace.verdict.sentence, *told["events"]],
        "pictures": told["curves"],
        "table": told["checkpoints"],
    }


LOOKS = {Trace: judged("trace", _title, verdict, _card, Trace.rows)}
