"""What comparisons look like in a console and in a notebook."""

from typing import Any

from onnxtop.render import render
from onnxtop.render.diff.facts import counting, verdict
from onnxtop.render.diff.html import values
from onnxtop.render.look import Card, Look, plain_rows
from onnxtop.results.diff import Diff


def _title(diff: Diff) -> str:
    return f"{diff.old.path} → {diff.new.path}"


def _card(diff: Diff) -> Card:
    told: Any = values(diff)
    changes = (f"{what}: {sentence}" for what, sentence in counting(diff))
    sentences = [told["sentence"], *changes]
    return Card(_title(diff), verdict(diff), told["figures"], (), sentences, table=told["layers"])


LOOKS = {
    Diff: Look(
        lambda diff: f"{_title(diff)}: {verdict(diff).words}",
        _card,
        lambda diff, look: render("diff", "terminal", diff, look),
        lambda diff: plain_rows(diff.layers),
    )
}
