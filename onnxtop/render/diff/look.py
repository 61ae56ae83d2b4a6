"""What comparisons look like in a console and in a notebook."""

from typing import Any

from onnxtop.render.diff.facts import counting, verdict
from onnxtop.render.diff.html import values
from onnxtop.render.look import judged, plain_rows
from onnxtop.results.diff import Diff


def _title(diff: Diff) -> str:
    return f"{diff.old.path} → {diff.new.path}"


def _card(diff: Diff) -> dict[str, Any]:
    told: Any = values(diff)
    changes = (f"{what}: {sentence}" for what, sentence in counting(diff))
    sentences = [told["sentence"], *changes]
    return {"tiles": told["figures"], "sentences": sentences, "table": told["layers"]}


LOOKS = {Diff: judged("diff", _title, verdict, _card, lambda diff: plain_rows(diff.layers))}
