"""Measure every file, compare twins, and write the README's table or compare the files with it.

Needs numpy, onnx and onnxruntime only.
"""

import argparse
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from catalogue import OTHER_FILES, SAMPLES, Sample
from tidy import FORBIDDEN

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
BEGIN, END = "<!-- table: made by make.py -->", "<!-- end of table -->"
MOST_DIFFERENCE = 1e-4
MOST_BYTES = 5_000_000
COMPARED = {"opset": 3, "accuracy": 4, "bytes": 6}


@dataclass(frozen=True)
class Row:
    """What the README says of one file; a cell that does not apply is a dash."""

    file: str
    story: str
    exporter: str
    opset: str
    accuracy: str
    difference: str
    bytes: str
    sha256: str

    def __str__(self) -> str:
        cells = (
            f"`{self.file}`",
            self.story,
            self.exporter,
            self.opset,
            self.accuracy,
            self.difference,
            self.bytes,
        )
        return f"| {' | '.join(cells)} | `{self.sha256}` |"


def pins() -> dict[str, str]:
    """Versions by package, off the requirement files."""
    lines = [line for path in ROOT.glob("requirements-*.txt") for line in path.read_text().splitlines()]
    return dict(line.split("==") for line in lines if "==" in line)


def session(path: Path) -> onnxruntime.InferenceSession:
    """Open the model on one thread, so that the same file gives the same digits."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def scores(path: Path, x: np.ndarray) -> np.ndarray:
    """Compute the model's ten scores (n, 10): logits, or probabilities where it gives only these.

    A fixed batch is fed in chunks, the last filled up with zeros.
    """
    model = session(path)
    (entry,) = model.get_inputs()
    x = x.reshape(-1, *entry.shape[1:])
    fixed = isinstance(entry.shape[0], int)
    size = entry.shape[0] if fixed else len(x)
    padded = np.concatenate([x, np.zeros((-len(x) % size, *x.shape[1:]), x.dtype)])
    output = model.get_outputs()[-1].name
    chunks = np.split(padded, len(padded) // size)
    return np.concatenate([model.run([output], {entry.name: chunk})[0] for chunk in chunks])[: len(x)]


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities, row by row."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def difference(found: np.ndarray, wanted: np.ndarray) -> float:
    """Largest distance to the logits of a twin, measured on probabilities if the model gives these."""
    gives_probabilities = np.allclose(found.sum(axis=1), 1, atol=1e-5)
    return float(abs(found - (softmax(wanted) if gives_probabilities else wanted)).max())


def opset(path: Path) -> str:
    """Read the version of the default domain."""
    model = onnx.load(path, load_external_data=False)
    return next(str(entry.version) for entry in model.opset_import if entry.domain in ("", "ai.onnx"))


def sha256(path: Path) -> str:
    """Digest the file's bytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def row(sample: Sample, x: np.ndarray, labels: np.ndarray) -> Row:
    """Measure one model."""
    path = ROOT / sample.file
    found = scores(path, x)
    apart = "-"
    if sample.twin not in (None, sample.file):
        distance = difference(found, scores(ROOT / sample.twin, x))
        if distance >= MOST_DIFFERENCE:
            raise SystemExit(f"{sample.file} differs from {sample.twin} by {distance:.2g}")
        apart = f"{distance:.0e}"
    return Row(
        sample.file,
        sample.story,
        sample.exporter.format(**pins()),
        opset(path),
        f"{np.mean(found.argmax(axis=1) == labels):.3f}",
        apart,
        str(path.stat().st_size),
        sha256(path),
    )


def rows() -> list[Row]:
    """Measure all files."""
    with np.load(ROOT / "digits.npz") as digits:
        x, labels = digits["x_test"], digits["labels_test"]
    others = [
        Row(file, story, "-", "-", "-", "-", str((ROOT / file).stat().st_size), sha256(ROOT / file))
        for file, story in OTHER_FILES.items()
    ]
    return [*(row(sample, x, labels) for sample in SAMPLES), *others]


def clean(found: list[Row]) -> list[str]:
    """Complain about size, about machine paths and about files that no row describes."""
    names = {one.file for one in found}
    present = {
        path.relative_to(ROOT).as_posix()
        for pattern in ("*.onnx", "*.data", "*.npz")
        for path in ROOT.rglob(pattern)
    }
    complaints = [f"{name} is in no row of the table" for name in sorted(present - names)]
    complaints += [
        f"{one.file} names a path" for one in found if FORBIDDEN.search((ROOT / one.file).read_bytes())
    ]
    if (total := sum(int(one.bytes) for one in found)) >= MOST_BYTES:
        complaints.append(f"{total} bytes in all, {MOST_BYTES} allowed")
    return complaints


def table(found: list[Row]) -> str:
    """Lay out the part of the README between the marks."""
    head = "| file | network | exporter | opset | test accuracy | largest difference | bytes | sha256 |"
    total = sum(int(one.bytes) for one in found)
    lines = [
        BEGIN,
        head,
        "|---|---|---|---|---|---|---|---|",
        *map(str, found),
        "",
        f"{total} bytes in all.",
        END,
    ]
    return "\n".join(lines)


def write(found: list[Row]) -> None:
    """Put the table into the README."""
    text = README.read_text()
    README.write_text(re.sub(f"{BEGIN}.*{END}", lambda _: table(found), text, flags=re.DOTALL))


def said() -> dict[str, list[str]]:
    """Read the README's cells by file."""
    _, rest = README.read_text().split(BEGIN)
    lines = [line for line in rest.split(END)[0].splitlines() if line.startswith("| `")]
    return {
        line.split("`")[1]: [cell.strip(" `") for cell in line.strip("| ").split(" | ")] for line in lines
    }


def damaged() -> list[str]:
    """Complain about files that are missing or whose bytes are not those the README names."""
    complaints = []
    for file, cells in said().items():
        path = ROOT / file
        if not path.exists():
            complaints.append(f"{file} is missing")
        elif sha256(path) != cells[7]:
            complaints.append(f"{file}: sha256 {sha256(path)}, the README says {cells[7]}")
    return complaints


def compare(found: list[Row]) -> list[str]:
    """Complain about opsets, accuracies and sizes that are not what the README says.

    The largest difference depends on the runtime's last digits, so it is bounded, not compared.
    """
    there = said()
    wanted = {(file, name): there[file][place] for file in there for name, place in COMPARED.items()}
    measured = {(one.file, name): getattr(one, name) for one in found for name in COMPARED}
    return [
        f"{file}: {name} {measured.get((file, name))}, the README says {wanted.get((file, name))}"
        for file, name in wanted | measured
        if measured.get((file, name)) != wanted.get((file, name))
    ]


def main(*, rewrite: bool) -> int:
    """Write or compare, print the complaints, and return 1 if there are any."""
    if rewrite:
        write(rows())
    complaints = damaged()
    if not complaints:
        found = rows()
        complaints = clean(found) + compare(found)
    print("\n".join(complaints) or f"{len(found)} files are as the README says")
    return int(bool(complaints))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the table instead of only comparing")
    raise SystemExit(main(rewrite=parser.parse_args().write))
