"""What runs of training look like in a console and in a notebook."""

from typing import Any

from onnxtop.render import render
from onnxtop.render.look import Card, Look
from onnxtop.render.trace.facts import verdict
from onnxtop.render.trace.html import values
from onnxtop.results.trace import Trace
from onnxtop.results.words import counted


def _title(trace: Trace) -> str:
    return counted(len(trace.checkpoints), "checkpoint")


def _card(trace: Trace) -> Card:
    told: Any = values(trace)
    return Card(
        _title(trace),
        verdict(trace),
        told["figures"],
        sentences=[trace.verdict.sentence, *told["events"]],
        pictures=told["curves"],
        table=told["checkpoints"],
    )


LOOKS = {
    Trace: Look(
        lambda trace: f"{_title(trace)}: {verdict(trace).words}",
        _card,
        lambda trace, look: render("trace", "terminal", trace, look),
        lambda trace: trace.rows(),
    )
}
