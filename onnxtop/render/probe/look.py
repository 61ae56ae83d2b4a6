"""What probes look like in a console and in a notebook."""

from typing import Any

from onnxtop.loss.summary import LossProbeResult
from onnxtop.render import render
from onnxtop.render.look import Card, Look, plain_rows
from onnxtop.render.probe import Probed
from onnxtop.render.probe.facts import verdict
from onnxtop.render.probe.html import values
from onnxtop.results.words import counted


def _probed(result: LossProbeResult) -> Probed:
    """Give a result, which does not know its model, a title in that place."""
    return Probed(f"{result.loss_name} on {counted(result.samples, 'sample')}", "", 0, result)


def _card(result: LossProbeResult) -> Card:
    probed = _probed(result)
    probes: Any = values([probed])["probes"]
    (told,) = probes
    return Card(
        probed.path,
        verdict(probed),
        told["figures"],
        sentences=[*told["failed"], *told["sentences"]],
        pictures=told["profiles"],
        table=told["layers"],
    )


LOOKS = {
    LossProbeResult: Look(
        lambda result: f"{_probed(result).path}: {verdict(_probed(result)).words}",
        _card,
        lambda result, look: render("probe", "terminal", [_probed(result)], look),
        lambda result: plain_rows(result.layers),
    )
}
