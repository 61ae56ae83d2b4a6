"""Every example of docs/integrations.md is run: those of a framework in an environment of its own."""

import doctest
import re
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "integrations.md"
SECTIONS = {
    "PyTorch": "torch",
    "Keras": "keras",
    "PyTorch Lightning": "lightning",
    "Hugging Face Trainer": "transformers",
    "scikit-learn": "sklearn",
}


def example(section: str) -> str:
    """Return the Python of a section."""
    text = PAGE.read_text(encoding="utf-8").split(f"\n## {section}\n")[1].split("\n## ")[0]
    (source,) = re.findall(r"^```python\n(.*?)^```$", text, re.M | re.S)
    return source


def test_the_examples_without_a_framework(monkeypatch):
    monkeypatch.chdir(ROOT)
    sources = re.findall(r"^```pycon\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    test = doctest.DocTestParser().get_doctest("".join(sources), {}, PAGE.name, str(PAGE), 0)
    complaints = []
    doctest.DocTestRunner(verbose=False).run(test, out=complaints.append)
    assert len(sources) == 2
    assert not complaints, "".join(complaints)


def test_every_framework_has_an_example():
    modules = {path.stem for path in (ROOT / "onnxtop" / "integrations").glob("[a-z]*.py")} - {"pace"}
    assert modules == set(SECTIONS.values())
    assert all(f"onnxtop.integrations.{module} " in example(title) for title, module in SECTIONS.items())


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize(
    "section",
    [pytest.param(title, marks=pytest.mark.integration(name)) for title, name in SECTIONS.items()],
)
def test_example(section, tmp_path, monkeypatch, capsys):
    (tmp_path / "sample_models").symlink_to(ROOT / "sample_models")
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "example"}
    exec(compile(example(section), PAGE.name, "exec"), names)
    printed = capsys.readouterr().out.splitlines()[-1]
    stopping = names["stopping"]
    # The rule, once more, from the values alone.
    best, waited = 0.0, []
    for value in stopping.values:
        risen = value > best + 0.01
        best, waited = (value, []) if risen else (best, [*waited, value])
    assert len(waited) == 4
    assert 4 < len(stopping.values) < 100
    assert 0.2 < stopping.values[0] < stopping.values[-1] < 0.8
    assert printed == f"stopped after epoch {len(stopping.values)} at {np.round(stopping.values[-1], 3):.3f}"
