"""Words of ``check``: verdicts, severities, baselines, exit codes, and the formats that machines read."""

from onnxtop.glossary.term import Term

_CHECK = "docs/check.md"
_CI = "docs/ci.md"

TERMS = (
    Term(
        name="verdict of check",
        title="what becomes of each model",
        what="FAIL: something was found at or above --fail-on, or the model cannot be compared with its "
        "baseline. LOST: it could not be analysed, and the reason is told. STOP: the run was interrupted "
        "before it was done. pass: it was judged, and none of these. none: nothing to analyse. read: not "
        "judged, since no rule ran. The last line counts them.",
        source=_CHECK,
        also=(
            "verdict",
            "headline",
            "FAIL",
            "failed",
            "LOST",
            "lost",
            "not analysed",
            "STOP",
            "not done",
            "pass",
            "passed",
            "read",
            "not judged",
            "nothing to check",
            "that pass",
            "like this",
            "headline",
        ),
    ),
    Term(
        name="nothing to analyse",
        title="a model, or a run, without a weight that was read",
        what="It has no weight tensors, or every one of them was skipped. It has not passed, and has not "
        "failed; a run has nothing to analyse only if that is so of each of its models.",
        source="docs/formats.md",
        also=("nothing_to_analyse", "no weight tensors"),
    ),
    Term(
        name="rules not run",
        title="rules that had not what they need",
        what="Each is counted with the reason: --quick leaves the statistics out, there is no baseline, "
        "no threshold is set, --select or --ignore left it out. What did not run has found nothing and "
        "has not passed.",
        source=_CHECK,
        also=(
            "rules_not_run",
            "rules_run",
            "rules run",
            "not_run",
            "run",
            "no threshold is set",
            "rules that ran",
        ),
    ),
    Term(
        name="first finding",
        title="the worst that was found in a model",
        what="In the table of all models; the others stand below it.",
        source=_CI,
    ),
    Term(
        name="not reached",
        title="a model that an interrupted run did not come to",
        what="What was done until then is written, and marked as not complete.",
        source="docs/formats.md",
        also=("not_reached",),
    ),
    Term(
        name="finding",
        title="something an engineer acts on",
        what="The rule that found it, its severity, the layer (or the model), a message, and a "
        "fingerprint made of rule, layer name and shape, by which a baseline knows it again.",
        source=_CHECK,
        also=("findings", "fingerprint", "message", "rule", "rules", "rules run", "false alarms"),
    ),
    Term(
        name="severity",
        title="how bad a finding is",
        what="error: hardly ever speaks of a healthy model. warning: worth a look. note: anything else; "
        "shown with --all. The configuration may set another, or off.",
        source="docs/rules.md",
        also=("error", "warning", "off"),
    ),
    Term(
        name="fail-on",
        title="which findings fail a run",
        what="error: errors do. warning: warnings do too. never: nothing does. Findings that a baseline "
        "knows never do.",
        source=_CHECK,
        also=("never",),
    ),
    Term(
        name="known",
        title="a finding that the baseline has as well",
        what="It is counted, shown with --all, and fails nothing.",
        source=f"{_CHECK}, Baselines",
        also=("known finding", "it is in the baseline"),
    ),
    Term(
        name="baseline",
        title="an earlier report that a model is compared with",
        what="Findings in it are known; the rules OT5 tell what moved beyond the tolerances. values "
        "compares all, structure only shapes, encodings, ties and findings: for a model trained anew.",
        source=f"{_CHECK}, Baselines",
        also=("compare", "values", "structure"),
    ),
    Term(
        name="threshold",
        title="a band in which a figure should lie",
        what='Set in the configuration, "np.normalized" = {min = 0.05}; outside of it a rule speaks.',
        source=f"{_CHECK}, Configuration; docs/rules.md",
        also=("thresholds", "band", "min", "max"),
    ),
    Term(
        name="tolerance",
        title="a change that is still the same",
        what="A relative change: against a baseline, of each figure, set in the configuration; between "
        "two models, of weights (--tolerance) and of NP (--np-tolerance).",
        source="docs/check.md, docs/diff.md",
        also=("tolerances",),
    ),
    Term(
        name="format",
        title="how a result is written",
        what="terminal and text are for people, markdown for pull requests, json, jsonl and csv for "
        "programs, junit for test reports, sarif for code scanning, github for annotations, svg for "
        "pictures, dot, graphml and mermaid for graphs. The suffix of -o says which, or -f.",
        source=f"docs/formats.md; {_CI}",
        also=(
            *(
                "terminal",
                "text",
                "json",
                "jsonl",
                "csv",
                "markdown",
                "junit",
                "sarif",
                "github",
                "svg",
                "dot",
            ),
            *("graphml", "mermaid"),
            "html",
        ),
    ),
    Term(
        name="analysis",
        title="the case of a model itself in JUnit",
        what="It passes if the model could be analysed, and is an error if not; every other case is a "
        "rule and layer.",
        source=_CI,
    ),
)
