"""What loss landscapes look like in a console and in a notebook."""

from dataclasses import replace
from typing import Any

from onnxtop.render.html.parts import Picture
from onnxtop.render.landscape.facts import verdict
from onnxtop.render.landscape.html import values
from onnxtop.render.look import judged, plain_rows
from onnxtop.results.landscape import LossLandscape


def _title(landscape: LossLandscape) -> str:
    return f"{len(landscape.minima):,} minima"


def _card(landscape: LossLandscape) -> dict[str, Any]:
    told: Any = values(landscape)
    barcode = Picture("Barcode", told["barcode"], term="barcode")
    return {"tiles": told["figures"], "pictures": [barcode], "table": told["minima"]}


LOOKS = {
    LossLandscape: replace(
        judged("landscape", _title, verdict, _card, lambda found: plain_rows(found.minima)),
        line=lambda found: verdict(found).words,  # which begins with the title
    ),
}
