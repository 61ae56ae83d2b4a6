"""Counts of runs, what a process takes, and how times are said."""

import re

import pytest

from benchmarks import _measuring
from benchmarks._measuring import Figure, beside, peak_mib, process, processes, seconds, shown, worst


def test_runs_take_turns_and_are_warm():
    calls = []
    times = seconds(lambda: calls.append("a"), lambda: calls.append("b"), least=3, budget=0)
    assert calls[:4] == ["a", "a", "b", "b"]
    assert calls.count("a") == calls.count("b") >= 4
    assert len(times) == 2


def test_times_are_medians_in_units_of_the_anchor(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(_measuring.time, "process_time", lambda: clock[0])
    spent = iter([0, 6.0, 6.0, 90.0])

    def ours():
        clock[0] += next(spent)

    def anchor():
        clock[0] += 2.0

    assert beside(ours, anchor, least=3, budget=0) == Figure(3, "6 s over 2 s")


def test_a_figure_has_three_digits():
    assert Figure(3.00449).value == 3.0
    assert Figure(1234.5).value == 1230


@pytest.mark.parametrize(
    ("spent", "said"), [(1.5, "1.5 s"), (0.25, "250 ms"), (3e-5, "30 µs"), (2e-10, "0.2 ns")]
)
def test_times_are_said_in_their_unit(spent, said):
    assert shown(spent) == said


def test_the_peak_is_what_is_held_at_once():
    assert peak_mib(lambda: [bytes(2**20), bytes(2**21)]).value == pytest.approx(3, abs=0.1)


def test_the_worst_is_named():
    assert worst({"signs": 1.0, "rank_1": 3.0, "zeros": 2.0}) == Figure(3, "rank 1 3, zeros 2, signs 1")


def test_a_process_is_measured():
    spent = process(["-c", "print('said'); b = bytes(50_000_000); sum(range(300_000))"])
    assert spent.output == b"said\n"
    assert spent.mb > 50
    assert spent.cpu > 0


def test_a_process_runs_this_tree_on_one_thread():
    code = "import os, onnxtop; print(os.environ['OMP_NUM_THREADS'], onnxtop.__file__)"
    (spent,) = processes(["-c", code], rounds=1)
    assert spent.output.decode().split() == ["1", str(_measuring.ROOT / "onnxtop" / "__init__.py")]


def test_a_process_that_fails_is_said():
    with pytest.raises(RuntimeError, match=re.escape("exit code 3 of -c")):
        process(["-c", "raise SystemExit(3)"])
    assert process(["-c", "raise SystemExit(3)"], codes=(3,)).output == b""
