"""Runs in which one thing happens, told in words."""

import numpy as np
import pytest

import onnxtop
from tests.tracing.runs import course, fresh, stepped, written


def told(tmp_path, run, **options):
    trace = onnxtop.trace(written(tmp_path, run), **options)
    return trace, [(event.kind, event.layer, event.checkpoint) for event in trace.verdict.events]


def test_learning(tmp_path):
    trace, events = told(tmp_path, course(5))
    assert (trace.verdict.course, events) == ("learning", [])
    assert trace.measured[0].untrained == 1.0
    assert trace.measured[0].looks_untrained
    assert trace.measured[-1].untrained == 0.0


def test_settled(tmp_path):
    rng = np.random.default_rng(0)
    run = course(3)
    for number in range(4):
        run.append(stepped(rng, run[-1], 0.01 * 0.1**number))
    trace, events = told(tmp_path, run, structure=False)
    assert (trace.verdict.course, trace.verdict.since, events) == ("settled", "step_200", [])


def test_still_untrained(tmp_path):
    rng = np.random.default_rng(0)
    run = course(1)
    for _ in range(3):
        run.append(stepped(rng, run[-1], 1e-4))
    trace, events = told(tmp_path, run)
    assert (trace.verdict.course, events) == ("still untrained", [])
    assert "3 of 3 layers" in trace.verdict.sentence


def test_a_frozen_layer(tmp_path):
    run = course(4)
    for weights in run:
        weights[1] = run[0][1]
    trace, events = told(tmp_path, run)
    assert events == [("frozen", "layer1", None)]
    assert trace.verdict.events[0].what == "layer1 never moved: it is frozen"
    assert trace.measured[-1].untrained == pytest.approx(1 / 3)


def test_a_reset_layer(tmp_path):
    run = course(5)
    lost = fresh(np.random.default_rng(9))[2]
    for weights in run[3:]:
        weights[2] = lost
    _, events = told(tmp_path, run)
    assert events == [("reset", "layer2", "step_300")]


def test_a_layer_set_to_zero(tmp_path):
    run = course(4)
    run[3][0] = np.zeros_like(run[3][0])
    _, events = told(tmp_path, run, structure=False)
    assert events == [("zeroed", "layer0", "step_300")]


def test_a_network_set_to_zero(tmp_path):
    run = course(3)
    run[2] = [np.zeros_like(w) for w in run[2]]
    trace, _ = told(tmp_path, run, structure=False)
    assert trace.verdict.sentence == "diverged at step_200: all weights are 0"


def test_weights_put_back(tmp_path):
    run = course(5)
    run[4][1] = run[1][1]
    _, events = told(tmp_path / "one", run, structure=False)
    assert events == [("restored", "layer1", "step_400")]
    trace, events = told(tmp_path / "all", [*run[:4], run[1]], structure=False)
    assert events == [("restored", None, "step_400")]
    assert trace.verdict.events[0].what == "step_400 went back to the weights of step_100"


def test_another_run_among_the_checkpoints(tmp_path):
    run = [*course(3), *course(3, seed=8)[1:]]
    _, events = told(tmp_path, run, structure=False)
    assert events == [("replaced", None, "step_300")]


def test_started_anew_and_left_there(tmp_path):
    trace, events = told(tmp_path, [*course(3), *course(1, seed=8)])
    assert (trace.verdict.course, events) == ("still untrained", [("replaced", None, "step_300")])
    assert trace.verdict.sentence.startswith("untrained again, after step_200 was trained")


def test_not_finite(tmp_path):
    run = course(5)
    run[3][0] = run[3][0].copy()
    run[3][0][2, 3] = np.nan
    trace, events = told(tmp_path / "healed", run, structure=False)
    assert events == [("not finite", "layer0", "step_300")]
    assert trace.verdict.course == "learning"
    run[4][0] = np.full_like(run[4][0], np.inf)
    trace, _ = told(tmp_path / "dead", run, patience=2, structure=False)
    assert (trace.verdict.course, trace.verdict.since) == ("diverged", "step_300")
    assert trace.verdict.sentence == "diverged at step_300: 1 weight is NaN or infinite"
    assert trace.measured[3].layers[0].relative is None
    assert trace.stopping.stopped == "step_300"  # no rise, though the mean of the other layers may be one


def test_an_exploding_scale(tmp_path):
    run = course(5)
    for number in (3, 4):
        run[number] = [30.0 ** (number - 2) * w for w in run[2]]
    trace, events = told(tmp_path, run)
    assert (trace.verdict.course, trace.verdict.since) == ("diverged", "step_300")
    assert events == [("exploded", None, "step_300")]


def test_the_first_steps_of_a_fresh_network_may_raise_its_largest_weight(tmp_path):
    run = [[10 * w for w in weights] for weights in course(4)]
    run[0] = [0.05 * w / np.abs(w).max() for w in run[0]]  # as Keras may start
    trace, events = told(tmp_path, run)
    assert trace.measured[1].scale > 10 * trace.measured[0].scale
    assert (trace.verdict.course, events) == ("learning", [])


def test_a_run_that_is_no_run(tmp_path):
    (weights,) = course(1)
    trace, events = told(tmp_path / "same", [weights, weights, weights])
    assert (trace.verdict.course, events) == ("nothing moved", [])
    trace, _ = told(tmp_path / "one", course(2)[1:])
    assert trace.verdict.course == "too short to tell"
    assert onnxtop.trace([]).verdict.sentence == "no checkpoint could be read"


def test_scales_that_disagree(tmp_path):
    """One weight that grows raises NP with scale global; no layer's own shape changes."""
    run = course(3)[2:] * 4
    run = [[w.copy() for w in weights] for weights in run]
    for number, weights in enumerate(run):
        weights[0][0, 0] = np.abs(run[0][0]).max() * (1 + number / 2)
    trace, _ = told(tmp_path, run, structure=False)
    (note,) = trace.notes
    assert note.startswith("the scales disagree: mean NP rose by")
    first, last = trace.measured[0], trace.measured[-1]
    rises = [last.scale_global / first.scale_global - 1, last.scale_layer / first.scale_layer - 1]
    assert rises[0] > 2 * rises[1]
    agreeing, _ = told(tmp_path / "plain", course(3), structure=False)
    assert agreeing.notes == ()
