"""What a rule needs beside the file: each says why it is not there, or nothing if it is.

A rule that lacks something does not run, and the report counts it with the reason.
"""

from collections.abc import Mapping

from onnxtop.results.report import NOT_ASKED, Report
from onnxtop.rules.rule import Need, Policy


def topology(report: Report, policy: Policy) -> str:
    """Say why the weights were not measured."""
    return "" if report.settings.topology else NOT_ASKED


def constants(report: Report, policy: Policy) -> str:
    """Say why the constants beside the weights were not read."""
    return "" if report.model.sha256 is not None else "only the outline was fetched"


def statistics(report: Report, policy: Policy) -> str:
    """Say why there are no statistics of the weights."""
    return topology(report, policy) or ("" if report.settings.structure else "--quick")


def one_scale(report: Report, policy: Policy) -> str:
    """Say why the layers were not measured against the network's largest weight."""
    return topology(report, policy) or (
        "" if report.settings.scale == "global" else f"--scale {report.settings.scale}"
    )


def connectivity(report: Report, policy: Policy) -> str:
    """Say why it is not known what is connected."""
    found = report.network.connectivity
    return "what is connected is not known" if found is None else found.reason or ""


def mean_persistence(report: Report, policy: Policy) -> str:
    """Say why the mean neural persistence of the network is not defined."""
    found = report.network.neural_persistence
    return "" if found.mean_normalized is not None else found.reason or "not defined"


def deep_graph_persistence(report: Report, policy: Policy) -> str:
    """Say why the deep graph persistence of the network is not defined."""
    found = report.network.deep_graph_persistence
    return "" if found.normalized is not None else found.reason or "not measured"


def band(figures: Mapping[str, Need]) -> Need:
    """Make the need of a threshold for one of some figures, and of what that figure needs."""

    def need(report: Report, policy: Policy) -> str:
        asked = [need for figure, need in figures.items() if not policy.band(figure).is_open]
        missing = [need(report, policy) for need in asked] or ["no threshold is set"]
        return "" if "" in missing else missing[0]

    return need


def baseline(report: Report, policy: Policy) -> str:
    """Say why there is nothing to compare with."""
    if policy.baseline is not None:
        return ""
    if policy.incomparable:
        return "the baseline cannot be compared"
    return "the baseline does not know the model" if policy.unknown else "no baseline"


def some_baseline(report: Report, policy: Policy) -> str:
    """Say why not even a baseline of other models was given."""
    return "" if policy.incomparable or policy.unknown else baseline(report, policy)


def layers(report: Report, policy: Policy) -> str:
    """Say why layers are not compared with those of a baseline."""
    settled = "built like the baseline" if policy.structure_only else "the verdict on the whole model decides"
    return baseline(report, policy) or (settled if policy.settled else "")


def values(report: Report, policy: Policy) -> str:
    """Say why values are not compared with those of a baseline, which training changes."""
    asked = "--compare structure" if policy.structure_only else ""
    return baseline(report, policy) or asked or layers(report, policy)


def earlier_model(report: Report, policy: Policy) -> str:
    """Say why there is no verdict on two models."""
    return baseline(report, policy) or ("" if policy.verdict else "the baseline is no model")


def run(report: Report, policy: Policy) -> str:
    """Say why the model was not run."""
    return "no check --run" if report.run is None else ""
