"""What did not run is counted: a rule that lacks what it needs does not speak, and says why."""

import dataclasses
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from onnxtop.auditing.options import AuditOptions
from onnxtop.auditing.story import audit
from onnxtop.results.report import NOT_ASKED, Report
from onnxtop.rules.catalogue import RULES, judged, why_not
from onnxtop.rules.rule import Band, Policy
from tests.render.conftest import build_layer, build_report


def reasons(report: Report, policy: Policy | None = None) -> dict[str, str]:
    return {each.rule: each.reason for each in judged(report, policy).rules.not_run}


@pytest.fixture(scope="module")
def mlp(samples: Path) -> Report:
    return audit(samples / "mlp_jax.onnx", digests="normal")


def test_every_rule_runs_or_says_why_not(mlp: Report) -> None:
    codes = sorted(rule.code for rule in RULES)
    policies = [Policy(), Policy(baseline=mlp), Policy(select=("OT1",)), Policy(ignore=("OT",))]
    for policy in policies:
        found = judged(mlp, policy).rules
        assert sorted([*found.run, *(each.rule for each in found.not_run)]) == codes
        assert all(each.reason for each in found.not_run)


def test_by_default_a_baseline_and_thresholds_are_missing(mlp: Report) -> None:
    assert set(reasons(mlp).values()) == {"no baseline", "no threshold is set", "no check --run"}
    assert reasons(mlp)["OT501"] == reasons(mlp)["OT500"] == reasons(mlp)["OT604"] == "no baseline"
    assert reasons(mlp)["OT401"] == "no threshold is set"
    bands = {"np.normalized": Band(min=0.1), "dgp.normalized": Band(max=2.0)}
    other = dataclasses.replace(mlp, model=dataclasses.replace(mlp.model, function=None))
    whole = reasons(mlp, Policy(baseline=other, thresholds=bands))
    assert set(whole.values()) == {"no check --run", "the baseline is no model"}


def test_of_the_same_function_no_more_is_said(mlp: Report) -> None:
    found = reasons(mlp, Policy(baseline=mlp))
    assert found["OT501"] == found["OT504"] == "the verdict on the whole model decides"
    assert not {"OT507", "OT511", "OT514"} & found.keys()
    assert reasons(mlp, Policy(baseline=mlp, structure_only=True))["OT504"] == "built like the baseline"


def test_quick_reports_lack_statistics(samples: Path) -> None:
    quick = audit(samples / "mlp_untrained.onnx", AuditOptions(structure=False))
    missing = {code for code, reason in reasons(quick).items() if reason == "--quick"}
    assert {"OT201", "OT207", "OT208", "OT303", "OT601"} <= missing
    assert not missing & {"OT101", "OT102", "OT109", "OT304"}
    assert Counter(reasons(quick).values())["--quick"] == len(missing)


def test_layers_alone_lack_more(samples: Path) -> None:
    read = audit(samples / "mlp_jax.onnx", AuditOptions(topology=False))
    found = reasons(read)
    assert found["OT101"] == found["OT201"] == found["OT304"] == NOT_ASKED
    assert "OT302" not in found


def test_what_was_not_chosen(mlp: Report) -> None:
    policy = Policy(select=("OT1", "OT5"), ignore=("OT101",), severities={"all-zero": "off"})
    found = reasons(mlp, policy)
    assert (found["OT201"], found["OT101"], found["OT102"]) == ("not selected", "ignored", "switched off")
    assert found["OT501"] == "no baseline"
    assert reasons(mlp, Policy(ignore=("OT2",)))["OT201"] == "ignored"


def test_baselines_that_do_not_serve(mlp: Report) -> None:
    assert reasons(mlp, Policy(unknown="no"))["OT501"] == "the baseline does not know the model"
    assert "OT513" not in reasons(mlp, Policy(unknown="no"))
    other = dataclasses.replace(mlp, settings=dataclasses.replace(mlp.settings, conv="channels"))
    found = reasons(mlp, Policy(baseline=other))
    assert found["OT501"] == "the baseline cannot be compared"
    assert "OT500" not in found
    found = reasons(mlp, Policy(baseline=mlp, structure_only=True))
    assert found["OT501"] == "--compare structure"
    assert "OT507" not in found


def test_facts_that_are_missing(mlp: Report) -> None:
    scaled = dataclasses.replace(mlp, settings=dataclasses.replace(mlp.settings, scale="layer"))
    assert reasons(scaled)["OT107"] == "--scale layer"
    bare = build_report(build_layer())
    assert reasons(bare)["OT305"] == "what is connected is not known"
    dgp, z = ({name: Band(min=0.1)} for name in ("dgp.normalized", "np.z"))
    assert reasons(bare, Policy(thresholds=dgp))["OT402"] == "not measured"
    assert "OT402" not in reasons(mlp, Policy(thresholds=dgp))
    quick = dataclasses.replace(mlp, settings=dataclasses.replace(mlp.settings, structure=False))
    assert reasons(quick, Policy(thresholds=z))["OT401"] == "--quick"


@pytest.mark.parametrize("options", [AuditOptions(structure=False), AuditOptions(topology=False)])
def test_a_rule_that_falls_silent_has_not_run(
    samples: Path, options: AuditOptions, report_of: Callable[[Path], Report]
) -> None:
    """Whatever a whole audit finds, one that measures less finds as well, or counts the rule as not run."""
    low = {name: Band(min=0.0, max=0.0) for name in ("dead.outputs", "dead.inputs", "codes.clipped")}
    policy = Policy(thresholds={**low, "np.normalized": Band(min=9.0), "dgp.normalized": Band(min=9.0)})
    for path in (*sorted(samples.glob("*_torch_legacy.onnx")), samples / "mlp_untrained.onnx"):
        part = audit(path, options)
        loud = {finding.rule for finding in judged(report_of(path), policy).findings}
        still = {finding.rule for finding in judged(part, policy).findings}
        assert loud - still <= set(reasons(part, policy)), path.name


def test_a_rule_that_lacks_what_it_needs_does_not_speak(mlp: Report) -> None:
    """The other way round: where nothing is measured, what does not need it is all that runs."""
    for rule in RULES:
        if why_not(rule, mlp, Policy()):
            assert rule.needs
            assert not list(rule.find(mlp, Policy())), rule.code
