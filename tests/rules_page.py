"""The page of rules, written from the catalogue, with counts of what each rule says of real models.

Run as a script, this writes ``docs/rules.md``; with a folder of models it counts anew first (the counts of
training are written by ``python -m benchmarks.studies.calibration``)::

    python -m tests.rules_page [CORPUS]
"""

import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from onnxtop.auditing.options import AuditOptions
from onnxtop.auditing.story import audit
from onnxtop.errors import ModelError
from onnxtop.execution.options import RunOptions
from onnxtop.glossary.measures import FIGURES
from onnxtop.results.report import Report
from onnxtop.rules.catalogue import FAMILIES, RULES
from onnxtop.rules.rule import THRESHOLDS, TOLERANCES
from onnxtop.rules.untrained import judged

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

RANDOM = (
    *("branched_model_ch_last.onnx", "dense_big_keras.onnx", "three_layer_bn_pytorch.onnx"),
    *("three_layer_pytorch.onnx", "tiny_unet_ch_last.onnx"),
    *("subpixel/float_model.onnx", "test_operator_conv/model.onnx"),
)
"""Files of the corpus that hold random numbers, by the end of their paths."""

TRAINING = """\
### While a network is trained

Networks of one and of two layers (256-10 and 256-32-10), the sample MLP, CNN and transformer, and the CNN \
with its normalisations folded, are trained on the digits by Adam, three seeds each, from four starts: as \
Kaiming, as PyTorch and as an orthogonal initialiser draw weights, and with weights normalised to outputs of \
one length. `python -m benchmarks.studies.calibration` makes all of it from seeds, and writes these counts.

| steps | accuracy | networks | called untrained (OT208) | from Kaiming | PyTorch | orthogonal | weight norm \
| layers judged | called reset (OT207) | show no training (OT209) |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
"""

READING = """\
What the counts say:

- OT103 speaks of the `light_*` models and of one residual block of QONNX's tests, all of them really \
constant.
- OT201 and OT202 speak of quantised models with more than a quarter of a layer at zero.
- OT206 speaks of one layer of 512 inputs and 128 outputs with rank 4; that is what it has.
- OT207 speaks of {alone} of the {judged} layers that can be judged in files that pass OT208, all of a \
network that was never trained, whose normalisations hold random numbers.
- OT208 speaks of random networks only. Of networks of random numbers that no initialiser draws, biases \
among them, OT209 says what can be said.
- Of the {trained} layers that can be judged in files that were trained, {alike} cannot be told from their \
shuffles ({share:.1%}); of the {random} in seven files that hold random numbers, {random_alike}.
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
    audited = failed = 0
    layers: Counter[str] = Counter()
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
        layers += layers_of(report, random=path.as_posix().endswith(RANDOM))
    return {
        "models": audited,
        "failed": failed,
        "layers": dict(layers),
        "by_rule": {rule.code: [found[rule.code], models[rule.code]] for rule in RULES},
    }


def layers_of(report: Report, *, random: bool) -> Counter[str]:
    """Count the layers that can be judged, those that show no training, and those that were told apart."""
    codes = Counter(finding.rule for finding in report.findings)
    layers = [each.exchangeability for each in judged(report)]
    alike = sum(bool(each and each.exchangeable) for each in layers)
    counts = (
        {"random": len(layers), "random_alike": alike} if random else {"trained": len(layers), "alike": alike}
    )
    if not codes["OT208"]:
        counts |= {"judged": len(layers), "alone": codes["OT207"]}
    return Counter(counts)


def page() -> str:
    parts = [HEAD]
    for family, title in FAMILIES.items():
        rules = [rule for rule in RULES if rule.code.startswith(family)]
        rows = "".join(f"| `{rule.code}` | {rule.severity} | {rule.name} | {rule.what} |\n" for rule in rules)
        table = f"| rule | severity | name | what |\n| --- | --- | --- | --- |\n{rows}"
        parts.append(f"## {family}: {title}\n\n{table}")
        parts += [
            f"### {rule.code} {rule.name}\n\n{rule.why} *Measured:* {rule.how} "
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
    layers = corpus["layers"]
    reading = READING.format(**layers, share=layers["alike"] / layers["trained"])
    return f"{head}{rows}\n{reading}\n{_training(counts['training'])}"


def _training(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the table of snapshots of training, a row for each number of steps."""
    lines = []
    for step in dict.fromkeys(row["steps"] for row in rows):
        here = [row for row in rows if row["steps"] == step]
        sums = {
            name: sum(row[name] for row in here) for name in ("networks", "judged", "OT207", "OT208", "OT209")
        }
        accuracy = sum(row["accuracy"] * row["networks"] for row in here) / sums["networks"]
        starts = " | ".join(str(row["OT208"]) for row in here)
        lines.append(
            f"| {step} | {accuracy:.0%} | {sums['networks']} | {sums['OT208']} | {starts} | {sums['judged']} "
            f"| {sums['OT207']} | {sums['OT209']} |\n"
        )
    return TRAINING + "".join(lines)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        counted: dict[str, Any] = {"corpus": count(Path(sys.argv[1])), "samples": count(SAMPLES)}
        counted["training"] = json.loads(COUNTS.read_text(encoding="utf-8")).get("training", [])
        COUNTS.write_text(json.dumps(counted, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(page(), encoding="utf-8")
