"""Verdicts on every model below some folders, as docs/null-model.md counts them.

python -m benchmarks.studies.census DIR [DIR ...]
"""

import sys
from collections import Counter
from pathlib import Path

from onnxtop.auditing.story import audit
from onnxtop.errors import OnnxtopError
from onnxtop.rules.untrained import judged


def census(folders: list[Path]) -> None:
    totals: Counter[str] = Counter()
    print("judged exchangeable untrained file")
    for folder in folders:
        for path in sorted(folder.rglob("*.onnx")):
            try:
                report = audit(path)
            except OnnxtopError as error:
                print(f"{path.relative_to(folder)}: {error}")
                continue
            told = [layer.exchangeability for layer in judged(report) if layer.exchangeability]
            alike = [each for each in told if each.exchangeable]
            untrained = any(finding.rule == "OT208" for finding in report.findings)
            totals.update(name for each in told for name in each.structured)
            totals.update(
                {"layers judged": len(told), "exchangeable": len(alike), "files untrained": untrained}
            )
            if told:
                answer = "yes" if untrained else "no"
                print(f"{len(told):6} {len(alike):12} {answer:>9} {path.relative_to(folder)}")
            names = Counter(each.initialiser if each.fits else "none" for each in alike)
            for initialiser, count in names.most_common():
                print(f"{'':30}{count} x initialiser: {initialiser}")
    for what, count in totals.items():
        print(f"{what:<20} {count:6}")


if __name__ == "__main__":
    census([Path(argument) for argument in sys.argv[1:]])
