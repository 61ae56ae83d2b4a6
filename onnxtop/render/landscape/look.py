"""What loss landscapes look like in a console and in a notebook."""

from typing import Any

from onnxtop.render import render
from onnxtop.render.html.parts import Picture
from onnxtop.render.landscape.facts import verdict
from onnxtop.render.landscape.html import values
from onnxtop.render.look import Card, Look, full, plain_rows
from onnxtop.results.landscape import LossLandscape


def _title(landscape: LossLandscape) -> str:
    return f"{len(landscape.minima):,} minima"


def _card(landscape: LossLandscape) -> Card:
    told: Any = values(landscape)
    barcode = Picture("Barcode", told["barcode"], term="barcode")
    return Card(
        _title(landscape),
        verdict(landscape),
        told["figures"],
        pictures=[barcode],
        table=full(told["minima"]),
    )


LOOKS = {
    LossLandscape: Look(
        lambda found: verdict(found).words,
        _card,
        lambda found, look: render("landscape", "terminal", found, look),
        lambda found: plain_rows(found.minima),
    )
}
