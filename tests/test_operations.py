"""Where an operation with weights must be known, and where it may be left out with a reason."""

from collections.abc import Mapping
from typing import Any

import pytest

from onnxtop.gradient import rules as gradient
from onnxtop.gradient.expansions import EXPANSIONS
from onnxtop.landscape import symmetry_rules as symmetry
from onnxtop.reader.fused import FUSED
from onnxtop.reader.lanes import tables as lanes
from onnxtop.reader.ops import NEUTRAL, READ, REPORTED, Op

ROOMS: dict[str, tuple[Mapping[Op, Any], Mapping[Op, str]]] = {
    "rule of its lanes in onnxtop/reader/lanes/tables.py": (lanes.RULES, lanes.WITHOUT),
    "gradient in onnxtop/gradient/rules": ({**gradient.RULES, **EXPANSIONS}, gradient.WITHOUT),
    "rule of its symmetry in onnxtop/landscape/symmetry_rules.py": (symmetry.RULES, symmetry.WITHOUT),
}


@pytest.mark.parametrize("what", ROOMS)
@pytest.mark.parametrize("op", READ, ids=lambda op: ".".join(filter(None, op)))
def test_every_weighted_operation_has_its_counterpart_or_a_reason(op: Op, what: str) -> None:
    known, reasons = ROOMS[what]
    assert op in known or reasons.get(op), f"{op} has no {what}, and WITHOUT does not say why"
    assert not (op in known and op in reasons), f"{op} has a {what}, so WITHOUT is out of date"


@pytest.mark.parametrize("what", ROOMS)
def test_reasons_are_for_operations_that_are_read(what: str) -> None:
    assert set(ROOMS[what][1]) <= set(READ)


def test_every_operation_stands_in_one_table() -> None:
    """What is written out is read as its parts; what is read is neither reported nor without weights."""
    tables = [set(READ), set(REPORTED), set(NEUTRAL), set(FUSED)]
    for place, one in enumerate(tables):
        for other in tables[place + 1 :]:
            assert not one & other


def test_what_is_written_out_has_no_rules_of_its_own() -> None:
    for known, reasons in ROOMS.values():
        assert not set(FUSED) & {*known, *reasons}
