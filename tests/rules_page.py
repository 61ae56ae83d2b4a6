"""The page of rules, written from the catalogue, with counts of what each rule says of real models.

Run as a script, this writes ``docs/rules.md``; with a folder of models it counts anew first::

    python -m tests.rules_page [CORPUS]
"""

import json
import sys
from collections import Counter
from pathlib import Path

from onnxtop.auditing.options import AuditOptions
from onnxtop.auditing.story import audit
from onnxtop.errors import ModelError
from onnxtop.execution.options import RunOptions
from onnxtop.results.report import Report
from onnxtop.rules.catalogue import FAMILIES, RULES
from onnxtop.rules.figures import FIGURES
from onnxtop.rules.rule import THRESHOLDS, TOLERANCES

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "rules.md"
COUNTS = ROOT / "tests" / "data" / "calibration.json"
SAMPLES = ROOT / "sample_models"
RUN = AuditOptions(running=RunOptions(execute=True))

HEAD = """\
# Rules

`onnxtop check` and `onnxtop report` judge every model by these rules. `onnxtop rules` lists them, \
`onnxtop explain NAME` says what this page says of one of them, and [check.md](check.md) tells how to choose \
rules, severities, thresholds and exceptions. This page is written from the catalogue by \
`tests/rules_page.py`; a test checks that it is current.

A rule is an error only if it hardly ever speaks of a healthy model, a warning if what it says is worth a \
look, a note otherwise. How often each one speaks is counted [below](#calibration).
"""

CALIBRATION = """\
## Calibration

Every rule was run over the {corpus} models of a fixed set of published packages and over the {samples} \
sample models, with default settings, with --run for the family OT7, and no baseline (so the family OT5 is \
silent). Most of the published \
models are trained networks; some are not: the `light_*` files of ONNX's own tests, whose weights are one \
constant a layer, and examples of hls4ml and QONNX with random or heavily quantised weights. `check` fails \
on {failed} published models, each of them random, and on `mlp_untrained.onnx`.

| rule | severity | findings | models | findings in samples | sample models |
| --- | --- | --- | --- | --- | --- |
"""

READING = """\
What the counts say:

- OT103 speaks of the `light_*` models and of one residual block of QONNX's tests, all of them really \
constant.
- OT201 and OT202 speak of quantised models with more than a quarter of a layer at zero.
- OT206 speaks of one layer of 512 inputs and 128 outputs with rank 4; that is what it has.
- OT207 speaks of {alone} of the {judged} layers that can be judged in files that pass OT208: a layer of \
a network that was never trained, whose normalisations hold random numbers. What it says of small networks \
while they are trained stands in [null-model.md](null-model.md).
- OT208 speaks of random networks only; of networks of random numbers that no initialiser draws, biases \
among them, OT209 says what can be said.
- OT304 and OT305 are notes: they depend on the graph of layers, which is not known exactly for every \
operation.
- OT701 speaks of custom operations (QONNX's quantisers) and of two files that onnxruntime does not take; \
OT702 of a normalisation that it finds of the wrong size. OT706 speaks of the `light_*` models and of one \
more whose output was the same for inputs of any size. OT707 speaks of a test of sequences that picks one of \
its inputs by position.
"""


def count(folder: Path) -> dict[str, object]:
    """Count findings and models by rule."""
    found: Counter[str] = Counter()
    models: Counter[str] = Counter()
    audited = failed = judged = alone = 0
    for path in sorted(folder.rglob("*.onnx")):
        try:
            report = audit(path, RUN)
        except ModelError:
            continue
        audited += 1
        codes = Counter(finding.rule for finding in report.findings)
        found += codes
        models += Counter(codes.keys())
        failed += any(
            finding.severity == "error" and not finding.rule.startswith("OT7") for finding in report.findings
        )
        if not codes["OT208"]:
            judged += len(judged_layers(report))
            alone += codes["OT207"]
    return {
        "models": audited,
        "failed": failed,
        "judged": judged,
        "alone": alone,
        "by_rule": {rule.code: [found[rule.code], models[rule.code]] for rule in RULES},
    }


def judged_layers(report: Report) -> list[str]:
    return [
        layer.name
        for layer in report.layers
        if layer.exchangeability is not None
        and layer.exchangeability.exchangeable is not None
        and layer.copy_of is None
        and layer.probably_fixed is None
    ]


def page() -> str:
    parts = [HEAD]
    for family, title in FAMILIES.items():
        rules = [rule for rule in RULES if rule.code.startswith(family)]
        rows = "".join(f"| `{rule.code}` | {rule.severity} | {rule.name} | {rule.what} |\n" for rule in rules)
        table = f"| rule | severity | name | what |\n| --- | --- | --- | --- |\n{rows}"
        parts.append(f"## {family}: {title}\n\n{table}")
        parts += [
            f"**{rule.code} {rule.name}.** {rule.why} *Measured:* {rule.how} "
            f"*False alarms:* {rule.false_alarms} *Source:* {rule.source}.\n"
            for rule in rules
        ]
    parts.append(_figures())
    parts.append(_calibration())
    return "\n".join(parts)


def _figures() -> str:
    bands = "".join(f"| `{name}` | {band} |\n" for name, band in THRESHOLDS.items())
    changes = "".join(f"| `{name}` | {100 * value:g} % |\n" for name, value in TOLERANCES.items())
    told = "".join(f"- `{figure.name}`: {figure.title}\n" for figure in FIGURES)
    return (
        "## Thresholds and tolerances\n\n"
        "Shares are from 0 to 1. A share outside its band makes its rule speak.\n\n"
        f"| figure | band |\n| --- | --- |\n{bands}\n"
        "Against a baseline, a relative change above its tolerance is told.\n\n"
        f"| change of | accepted |\n| --- | --- |\n{changes}\n"
        f"`onnxtop explain` also knows the figures of the report:\n\n{told}"
    )


def _calibration() -> str:
    counts = json.loads(COUNTS.read_text(encoding="utf-8"))
    corpus, samples = counts["corpus"], counts["samples"]
    head = CALIBRATION.format(corpus=corpus["models"], samples=samples["models"], failed=corpus["failed"])
    rows = "".join(
        f"| `{rule.code}` {rule.name} | {rule.severity} | {corpus['by_rule'][rule.code][0]} "
        f"| {corpus['by_rule'][rule.code][1]} | {samples['by_rule'][rule.code][0]} "
        f"| {samples['by_rule'][rule.code][1]} |\n"
        for rule in RULES
    )
    return f"{head}{rows}\n{READING.format(alone=corpus['alone'], judged=corpus['judged'])}"


if __name__ == "__main__":
    if len(sys.argv) > 1:
        counted = {"corpus": count(Path(sys.argv[1])), "samples": count(SAMPLES)}
        COUNTS.write_text(json.dumps(counted, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(page(), encoding="utf-8")
