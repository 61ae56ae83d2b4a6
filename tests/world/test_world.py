"""Each fault ends as the page says; see `tests.world.cases`."""

import signal

import pytest

from onnxtop.cli import VERBS
from tests.world.cases import CASES, SAMPLES, Case, World, unchanged


@pytest.mark.parametrize("case", CASES, ids=lambda each: each.name)
def test_a_fault_ends_as_the_page_says(world: World, case: Case) -> None:
    with unchanged(world / "a.onnx") if "replaced" not in case.name else unchanged():
        case.act(world)
    assert {each.code for each in world.ended} == set(case.codes)


DATA = SAMPLES / "digits.npz"
MINIMA = " ".join(map(str, sorted((SAMPLES / "minima").glob("*.onnx"))[:2]))
LINES = {
    "report": "report a.onnx",
    "layers": "layers a.onnx",
    "graph": "graph a.onnx",
    "plot": "plot a.onnx -o a.svg",
    "check": "check a.onnx --run",
    "diff": "diff a.onnx a.onnx",
    "trace": f"trace {SAMPLES / 'checkpoints' / 'epoch_01.onnx'}",
    "rules": "rules",
    "explain": "explain np",
    "schema": "schema",
    "probe": f"probe a.onnx --quick --data {DATA}",
    "loss-barcode": f"loss-barcode {MINIMA} --data {DATA} --polish 0 --finder line",
    "cache": "cache",
    "demo": "demo",
    "help": "help",
}


def test_no_verb_makes_a_connection(world: World) -> None:
    """The kernel would end it, and all that it starts."""
    assert set(LINES) == set(VERBS)
    for line in LINES.values():
        assert world.run(line).code == 0, line


def test_a_connection_would_be_the_end(world: World) -> None:
    planted = "import socket, onnxtop.auditing.story as story\nstory.audit = lambda *a, **k: socket.socket()"
    done = world.run("report a.onnx", planted=planted)
    assert done.code == -signal.SIGSYS or "ended by SIGSYS" in done.err  # where a process of its own does it
