"""What a rule needs beside the file: each says why it is not there, or nothing if it is.

A rule that lacks something does not run, and the report counts it with the reason.
"""

from onnxtop.results.report import NOT_ASKED, Report
from onnxtop.rules.rule import Need, Policy


def topology(report: Report, policy: Policy) -> str:
    """Say why the weights were not measured."""
    return "" if report.settings.topology else NOT_ASKED


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


def band(*figures: str) -> Need:
    """Make the need of a threshold for one of some figures."""

    def need(report: Report, policy: Policy) -> str:
        bands = (policy.band(figure) for figure in figures)
        return "" if any(not each.is_open for each in bands) else "no threshold is set"

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
    settled = "the whole is the baseline's function" if policy.settled else ""
    return baseline(report, policy) or settled


def values(report: Report, policy: Policy) -> str:
    """Say why values are not compared with those of a baseline, which training changes."""
    return layers(report, policy) or ("--compare structure" if policy.structure_only else "")


def earlier_model(report: Report, policy: Policy) -> str:
    """Say why there is no verdict on two models."""
    return baseline(report, policy) or ("" if policy.verdict else "the baseline is no model")


def run(report: Report, policy: Policy) -> str:
    """Say why the model was not run."""
    return "no --run" if report.run is None else ""
