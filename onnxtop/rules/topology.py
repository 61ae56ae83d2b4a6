"""OT4: topological figures outside the bands of the policy; without bands these rules are silent."""

from collections.abc import Iterator

from onnxtop.results.report import LayerReport, Report
from onnxtop.rules import needs
from onnxtop.rules.rule import Found, Policy, layer_rule, rule


@layer_rule(
    "OT401",
    "error",
    needs=(
        needs.band(
            {
                "np.normalized": needs.topology,
                "np.z": needs.statistics,
                "np.excess_share": needs.statistics,
            }
        ),
    ),
    what="Neural persistence, z or excess of a layer is outside the band that the configuration sets.",
    why="You said so: there is no band that would fit all networks.",
    how="`np.normalized`, `np.z` and `np.excess_share` of each layer against their thresholds; none by "
    "default.",
    false_alarms="A band taken from another architecture, or from other settings.",
    source="Rieck et al. 2019",
)
def layer_outside_band(layer: LayerReport, policy: Policy) -> Iterator[str]:
    figures = layer.neural_persistence
    for figure, value in (
        ("np.normalized", figures.normalized),
        ("np.z", figures.z),
        ("np.excess_share", figures.excess_share),
    ):
        if value is not None and policy.band(figure).excludes(value):
            yield f"{figure} is {value:.4f}, wanted {policy.band(figure)}"


@rule(
    "OT402",
    "error",
    needs=(
        needs.band(
            {
                "np.mean_normalized": needs.mean_persistence,
                "dgp.normalized": needs.deep_graph_persistence,
            }
        ),
    ),
    what="A figure of the network is outside the band that the configuration sets.",
    why="You said so: there is no band that would fit all networks.",
    how="`np.mean_normalized` and `dgp.normalized` against their thresholds; none by default.",
    false_alarms="A band taken from another architecture, or from other settings.",
    source="Rieck et al. 2019; Girrbach et al. 2023",
)
def network_outside_band(report: Report, policy: Policy) -> Found:
    network = report.network
    for figure, value in (
        ("np.mean_normalized", network.neural_persistence.mean_normalized),
        ("dgp.normalized", network.deep_graph_persistence.normalized),
    ):
        if value is not None and policy.band(figure).excludes(value):
            yield None, f"{figure} is {value:.4f}, wanted {policy.band(figure)}"
