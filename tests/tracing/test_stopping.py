"""The stopping rule against series worked out by hand."""

import math

import pytest

from onnxtop.errors import UsageError
from onnxtop.tracing.stopping import StoppingOptions, StoppingRule

NAN, INF = math.nan, math.inf


def run(values, **options):
    rule = StoppingRule(StoppingOptions(**options))
    answers = [rule.update(value) for value in values]
    assert answers == [rule.stopped and number >= rule.stopped_at for number in range(len(values))]
    return rule


# values, options, then: stopped at, best, best at, waited
SERIES = {
    "monotone": ([0.1, 0.2, 0.3, 0.4, 0.5], {"patience": 1}, None, 0.5, 4, 0),
    "falling": ([0.5, 0.4, 0.3, 0.2], {"patience": 3}, 3, 0.5, 0, 3),
    "plateau": ([0.1, 0.3, 0.3, 0.3, 0.3], {"patience": 2}, 3, 0.3, 1, 2),
    "one check of patience": ([0.1, 0.1], {"patience": 1}, 1, 0.1, 0, 1),
    "noise that recovers": ([0.2, 0.1, 0.1, 0.3, 0.2, 0.4], {"patience": 3}, None, 0.4, 5, 0),
    "noise that does not": ([0.2, 0.1, 0.3, 0.25, 0.29, 0.28, 0.9], {"patience": 3}, 5, 0.3, 2, 3),
    # 0.05 and 0.1 rise by too little above 0 and are no best; 0.25 is measured against 0, 0.3 against 0.25
    "small rises": ([0.05, 0.125, 0.25, 0.3, 0.375], {"patience": 3, "min_delta": 0.125}, None, 0.25, 2, 2),
    "creeping": ([0.5, 0.5625, 0.625, 0.6875], {"patience": 2, "min_delta": 0.125}, 2, 0.5, 0, 2),
    "nan": ([0.2, NAN, 0.3, NAN, NAN], {"patience": 2}, 4, 0.3, 2, 2),
    "nan from the start": ([NAN, NAN, NAN], {"patience": 2}, 1, 0.0, None, 2),
    "infinite": ([0.2, INF, 0.3, -INF], {"patience": 2}, None, 0.3, 2, 1),
    "zeros": ([0.0, 0.0], {"patience": 2}, 1, 0.0, None, 2),
    "burn-in": ([0.9, 0.8, 0.1, 0.2, 0.2, 0.2], {"patience": 2, "burn_in": 2}, 5, 0.2, 3, 2),
    "nan in the burn-in": ([NAN, NAN, 0.1, 0.2], {"patience": 1, "burn_in": 2}, None, 0.2, 3, 0),
    "shorter than the burn-in": ([0.3, 0.2, 0.1], {"patience": 1, "burn_in": 4}, None, 0.0, None, 0),
    "as long as the burn-in": ([0.3, 0.2, 0.1], {"patience": 1, "burn_in": 3}, None, 0.0, None, 0),
    "nothing": ([], {}, None, 0.0, None, 0),
}


@pytest.mark.parametrize(
    ("values", "options", "stopped_at", "best", "best_at", "waited"), SERIES.values(), ids=SERIES
)
def test_series_worked_out_by_hand(values, options, stopped_at, best, best_at, waited):
    rule = run(values, **options)
    assert (rule.stopped_at, rule.best, rule.best_at, rule.waited) == (stopped_at, best, best_at, waited)
    assert rule.checks == len(values)


def test_once_it_has_fired_it_stays_so():
    rule = run([0.2, 0.1, 0.1], patience=2)
    assert all(rule.update(value) for value in (0.9, NAN))
    assert (rule.stopped_at, rule.best, rule.waited, rule.checks) == (2, 0.2, 2, 5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patience": 0}, "patience: wanted a whole number of at least 1, found 0"),
        ({"patience": 2.5}, "patience: wanted a whole number of at least 1, found 2.5"),
        ({"min_delta": -0.1}, "min_delta: wanted a number of at least 0, found -0.1"),
        ({"min_delta": NAN}, "min_delta: wanted a number, found nan"),
        ({"burn_in": -1}, "burn_in: wanted a whole number of at least 0, found -1"),
        ({"measure": "ndp"}, "measure: wanted one of np, dgp, found 'ndp'"),
    ],
)
def test_options_that_make_no_sense(options, message):
    with pytest.raises(UsageError, match=f"^{message}"):
        StoppingOptions(**options)
