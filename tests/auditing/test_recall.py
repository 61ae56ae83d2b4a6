"""What is remembered of models and layers: by what they hold, and never a byte other than anew."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from onnx import TensorProto

import onnxtop
from onnxtop.auditing import layers, story
from onnxtop.auditing.layers import Measured, Memory
from onnxtop.auditing.options import AuditOptions
from onnxtop.auditing.recall import recalled, report_question
from onnxtop.auditing.story import audit, audited
from onnxtop.cli import app
from onnxtop.execution.options import RunOptions
from onnxtop.options import DeclaredOption, fields_of
from onnxtop.results.report import LOOKS_UNTRAINED
from onnxtop.rules.rule import Policy
from onnxtop.work.options import WorkOptions
from onnxtop.work.store import Store
from onnxtop.work.values import classes_of, dumps, loads
from tests.models import model, node, save


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the layers that were measured, in a list that grows; every size is worth remembering."""
    names: list[str] = []
    real = layers._scanned
    monkeypatch.setattr(layers, "_WORTH_IT", 0)
    monkeypatch.setattr(
        layers, "_scanned", lambda layer, *rest: names.append(layer.name) or real(layer, *rest)
    )
    return names


def text(report: onnxtop.Report) -> str:
    return json.dumps(report.to_dict())


WAYS: list[dict[str, Any]] = [
    {},
    {"bias": "row", "conv": "channels"},
    {"conv": "per-filter", "convention": "tree"},
    {"conv": "unrolled", "scale": "layer"},
    {"structure": False, "standardise": False},
    {"details": True, "diagrams": False, "sortedness": True, "digests": "normal"},
    {"topology": False},
    {"layers": "1$"},
]


@pytest.mark.parametrize(
    ("name", "way"),
    [
        *(("mlp_torch_dynamo" if "details" in way else "cnn_torch_dynamo", way) for way in WAYS),
        ("lstm_torch_legacy", {"bias": "row"}),
        ("mlp_torch_external", {}),
        ("mlp_torch_external", {"topology": False}),
    ],
    ids=str,
)
def test_the_same_bytes_from_files_reports_and_layers(name, way, samples, tmp_path, counted):
    path = samples / f"{name}.onnx"
    alone = text(audit(path, **way))
    n_layers = len(counted)
    assert text(audit(path, **way, cache=tmp_path)) == alone
    counted.clear()
    assert text(audit(path, **way, cache=tmp_path)) == alone
    by_layers = AuditOptions(**way, work=WorkOptions(cache=tmp_path))
    listed = not by_layers.topology  # reading them takes no longer, above all where weights lie elsewhere
    assert len(counted) == (n_layers if listed and "external" in name else 0)
    counted.clear()
    assert text(audited(path, by_layers).report) == alone
    assert len(counted) == (n_layers if listed else 0)
    assert n_layers > 0


def test_diagrams_are_remembered_where_they_are_kept(samples, tmp_path):
    path = samples / "mlp_torch_dynamo.onnx"
    found = [audit(path, cache=tmp_path).layers[0].neural_persistence.diagram for _ in range(2)]
    assert found[0].points.tobytes() == found[1].points.tobytes()
    assert found[0].generators.tobytes() == found[1].generators.tobytes()
    assert audit(path, cache=tmp_path, diagrams=False).layers[0].neural_persistence.diagram is None


def test_neither_onnx_nor_a_measure_is_loaded_for_what_is_remembered(samples, tmp_path):
    path, kept = str(samples / "mlp_torch_dynamo.onnx"), str(tmp_path / "kept")
    words = ["check", path, "--cache", kept, "-f", "json"]
    code = (
        "import sys; from onnxtop.cli import app; "
        f"app.main({words!r}, standalone_mode=False); "
        "sys.exit(any(name in sys.modules for name in ('onnx', 'networkx', 'onnxtop.auditing.story')))"
    )
    first = CliRunner().invoke(app, words)
    again = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert again.returncode == 0
    assert again.stdout == first.stdout_bytes != b""


def test_a_file_of_another_name_is_the_same_model(samples, tmp_path, counted):
    path = tmp_path / "copy.onnx"
    shutil.copy(samples / "mlp_torch_dynamo.onnx", path)
    first = audit(samples / "mlp_torch_dynamo.onnx", details=True, cache=tmp_path / "kept")
    counted.clear()
    second = audit(path, details=True, cache=tmp_path / "kept")
    assert counted == []
    assert second.model.path == second.graph.model == str(path)
    assert text(second) == text(audit(path, details=True))
    assert replace(second.model, path="") == replace(first.model, path="")


def other(each: DeclaredOption) -> Any:
    """Return another value than the default of an option."""
    if each.choices:
        return next(word for word in each.choices if word != each.default)
    if isinstance(each.default, bool):
        return not each.default
    if isinstance(each.default, int | float):
        return each.default + 1
    held = {"input_shapes": {"x": (1,)}, "dims": {"n": 1}, "limits": {"nodes": 9}}
    return held.get(each.name, ("other",))


SHOWN = {"layers", "allow_external", "work"}
"""Options that change nothing of what is remembered: what is shown, which files may be read, and how."""
NEVER = {"data": "samples.npz", "running": RunOptions(execute=True)}
"""Options with which nothing is remembered, since a model is run."""


def test_every_option_is_part_of_the_question(samples, tmp_path):
    def key(**options: Any) -> str | None:
        asked = AuditOptions(work=WorkOptions(cache=tmp_path), **options)
        question = report_question(samples / "mlp_torch_dynamo.onnx", asked)
        return question and question.key()

    names = [each.name for each in fields_of(AuditOptions) if each.name not in {*SHOWN, *NEVER, "minima"}]
    values = {each.name: other(each) for each in fields_of(AuditOptions) if each.name in names}
    keys = [key(), *(key(**{name: values[name]}) for name in names)]
    assert None not in keys
    assert len(set(keys)) == 1 + len(names) > 20
    assert [key(**{name: value}) for name, value in NEVER.items()] == [None, None]
    assert key(layers="hidden", allow_external=(tmp_path,)) == key()
    assert {each.name for each in fields(AuditOptions)} == {*names, *SHOWN, *NEVER, "minima"}


class Watched:
    """Options that note which of them are asked for."""

    def __init__(self, options: AuditOptions, seen: set[str]) -> None:
        self.options, self.seen = options, seen

    def __getattr__(self, name: str) -> Any:
        self.seen.add(name)
        return getattr(self.options, name)


@pytest.mark.parametrize("way", WAYS[:7], ids=str)
def test_what_a_layer_leaves_behind_depends_on_no_other_option(way, samples, monkeypatch):
    seen: set[str] = set()
    real = layers._scanned
    monkeypatch.setattr(
        layers,
        "_scanned",
        lambda *given: real(
            *(Watched(each, seen) if isinstance(each, AuditOptions) else each for each in given)
        ),
    )
    audit(samples / "cnn_torch_dynamo.onnx", **way)
    assert seen
    assert seen <= set(layers._MEASURED_BY)


def three(folder: Path, name: str, *, changed: bool = False, before: int = 0, prefix: str = "") -> Path:
    """Save x -> some products before -> a -> b -> c -> y, the last of which may have other weights."""
    rng = np.random.default_rng(0)
    weights = [rng.standard_normal((24, 24)).astype(np.float32) for _ in range(3)]
    weights[2] = weights[2] + changed
    extra = [np.eye(24, dtype=np.float32) + n for n in range(before)]
    arrays = {f"{prefix}w{n}": array for n, array in enumerate([*extra, *weights])}
    nodes = [
        node("MatMul", f"{'x' if not n else f'h{n}'} {key}", f"h{n + 1}", name=f"{prefix}{n}")
        for n, key in enumerate(arrays)
    ]
    proto = model(nodes, arrays, {"x": (1, 24)}, {f"h{len(arrays)}": (1, 24)})
    return save(proto, folder, name)


def test_of_a_changed_model_only_what_changed_is_measured(tmp_path, counted):
    kept = tmp_path / "kept"
    audit(three(tmp_path, "old.onnx"), cache=kept)
    assert len(counted) == 3
    counted.clear()
    changed = three(tmp_path, "new.onnx", changed=True)
    found = audit(changed, cache=kept)
    assert counted == [found.layers[2].name]
    assert text(found) == text(audit(changed))


def test_layers_are_known_at_another_place_and_by_other_names(tmp_path, counted):
    kept = tmp_path / "kept"
    audit(three(tmp_path, "old.onnx"), cache=kept)
    counted.clear()
    longer = three(tmp_path, "new.onnx", before=2, prefix="other")
    found = audit(longer, details=False, cache=kept)
    assert counted == [layer.name for layer in found.layers[:2]]
    alone = audit(longer)
    assert text(found) == text(alone)
    for one, two in zip(found.layers, alone.layers, strict=True):
        generators = [each.neural_persistence.diagram.generators for each in (one, two)]
        assert np.array_equal(*generators)


def test_small_layers_are_not_worth_it(tmp_path, monkeypatch):
    kept = tmp_path / "kept"
    monkeypatch.setattr(layers, "_WORTH_IT", 24 * 24 + 1)
    monkeypatch.setattr(Store, "write", lambda *given: pytest.fail("remembered"))
    audited(three(tmp_path, "m.onnx"), AuditOptions(work=WorkOptions(cache=kept)))


def external(folder: Path, place: Path, value: float) -> Path:
    """Save a product whose weights lie in another file, and return the model."""
    array = np.arange(64, dtype=np.float32).reshape(8, 8) + value
    place.write_bytes(array.tobytes())
    weight = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=array.shape, data_location=1)
    weight.external_data.add(key="location", value="w.bin")
    return save(model([node("MatMul", "x w")], {"w": weight}, {"x": (1, 8)}), folder, "m.onnx")


def test_weights_beside_the_model_are_part_of_it(tmp_path):
    path = external(tmp_path, tmp_path / "w.bin", 0.0)
    kept = tmp_path / "kept"
    first = audit(path, cache=kept)
    assert text(audit(path, cache=kept)) == text(first)
    external(tmp_path, tmp_path / "w.bin", 1.0)
    second = audit(path, cache=kept)
    assert second.model.sha256 == first.model.sha256
    assert text(second) == text(audit(path)) != text(first)
    (tmp_path / "w.bin").unlink()
    with pytest.raises(onnxtop.ModelError, match=r"w\.bin"):
        audit(path, cache=kept)


def test_what_may_not_be_read_is_not_answered_either(tmp_path):
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    path = external(inside, outside / "w.bin", 0.0)
    (inside / "w.bin").symlink_to(outside / "w.bin")
    kept = tmp_path / "kept"
    audit(path, cache=kept, allow_external=(outside,))
    assert recalled(path, AuditOptions(allow_external=(outside,), work=WorkOptions(cache=kept))) is not None
    with pytest.raises(onnxtop.ModelError, match="outside"):
        audit(path, cache=kept)


def test_a_list_of_layers_reads_no_weights_elsewhere(tmp_path):
    path = external(tmp_path, tmp_path / "w.bin", 0.0)
    options = AuditOptions(topology=False, work=WorkOptions(cache=tmp_path / "kept"))
    assert report_question(path, options).key() is None
    whole = three(tmp_path, "whole.onnx")
    assert report_question(whole, options).key() is not None


def test_a_model_that_changes_meanwhile_is_not_remembered(tmp_path, monkeypatch):
    path = three(tmp_path, "m.onnx")
    kept = tmp_path / "kept"
    real = story._audited

    def slow(*given: Any) -> Any:
        found = real(*given)
        three(tmp_path, "m.onnx", changed=True)
        return found

    monkeypatch.setattr(story, "_audited", slow)
    audit(path, cache=kept)
    monkeypatch.undo()
    three(tmp_path, "m.onnx")
    assert recalled(path, AuditOptions(work=WorkOptions(cache=kept))) is None


def entries(folder: Path) -> Iterator[Path]:
    return iter(sorted(folder.rglob("*.entry")))


@pytest.mark.parametrize(
    "damage", [lambda data: data[: len(data) // 2], lambda data: b"", lambda data: data[:-1] + b"?"]
)
def test_what_is_damaged_is_measured_anew(damage: Callable[[bytes], bytes], tmp_path, counted):
    path = three(tmp_path, "m.onnx")
    kept = tmp_path / "kept"
    alone = text(audit(path, cache=kept))
    for entry in entries(kept):
        entry.write_bytes(damage(entry.read_bytes()))
    counted.clear()
    assert text(audit(path, cache=kept)) == alone
    assert len(counted) == 3
    counted.clear()
    assert text(audit(path, cache=kept)) == alone
    assert counted == []


def test_whole_entries_of_something_else_are_measured_anew(tmp_path, counted, monkeypatch):
    path = three(tmp_path, "m.onnx")
    kept = tmp_path / "kept"
    alone = text(audit(path, cache=kept))
    monkeypatch.setattr(Store, "read", lambda self, key: b'["c","Popen","ls"]\n')
    monkeypatch.setattr(Store, "get", lambda self, key: None)
    counted.clear()
    assert text(audit(path, cache=kept)) == alone
    assert len(counted) == 3


def test_what_is_remembered_is_judged_by_whoever_asks(samples, tmp_path):
    path = samples / "mlp_untrained.onnx"
    kept = tmp_path / "kept"
    policies = [Policy(), Policy(select=("OT2",)), Policy(severities={LOOKS_UNTRAINED: "note"})]
    alone = [text(audit(path, policy=policy)) for policy in policies]
    assert [text(audit(path, policy=policy, cache=kept)) for policy in policies] == alone
    assert len(set(alone)) == 3


def test_without_a_cache_nothing_is_read_or_written(tmp_path, monkeypatch):
    for name in ("read", "write"):
        monkeypatch.setattr(Store, name, lambda *given: pytest.fail("touched"))
    path = three(tmp_path, "m.onnx")
    audit(path)
    audit(path, cache="off")
    monkeypatch.setenv("ONNXTOP_CACHE", "off")
    audit(path, cache=None)


def test_a_comparison_is_remembered(tmp_path, monkeypatch):
    old, new = three(tmp_path, "old.onnx"), three(tmp_path, "new.onnx", changed=True)
    kept = tmp_path / "kept"
    alone = json.dumps(onnxtop.diff(old, new).to_dict())
    assert json.dumps(onnxtop.diff(old, new, cache=kept).to_dict()) == alone
    monkeypatch.setattr("onnxtop.comparison.story._diff", lambda *given: pytest.fail("compared again"))
    assert json.dumps(onnxtop.diff(old, new, cache=kept).to_dict()) == alone
    moved = str(shutil.copy(new, tmp_path / "moved.onnx"))
    found = onnxtop.diff(old, moved, cache=kept).to_dict()
    assert found["new"]["path"] == moved
    assert json.dumps(found).replace(moved, str(new)) == alone


def test_a_check_against_a_model_is_remembered(tmp_path, monkeypatch, counted):
    old, new = three(tmp_path, "old.onnx"), three(tmp_path, "new.onnx", changed=True)
    kept = tmp_path / "kept"
    alone = text(onnxtop.check(new, baseline=old).report)
    assert text(onnxtop.check(new, baseline=old, cache=kept).report) == alone
    monkeypatch.setattr("onnxtop.comparison.story._verdict", lambda *given: pytest.fail("compared again"))
    counted.clear()
    assert text(onnxtop.check(new, baseline=old, cache=kept).report) == alone
    assert counted == []


@pytest.mark.parametrize("way", WAYS[:3], ids=str)
def test_everything_that_a_layer_leaves_behind_is_written_whole(way, samples):
    for name in ("cnn_torch_legacy", "lstm_torch_dynamo")[: 1 if "conv" in way else 2]:
        for measured in audited(samples / f"{name}.onnx", AuditOptions(**way, details=True)).measured:
            data = dumps(measured)
            assert dumps(loads(data, classes_of(Measured))) == data


def test_a_series_remembers_layers_by_itself(tmp_path, counted):
    memory = Memory(Store(None), series=True)
    for name in ("a.onnx", "b.onnx"):
        audited(three(tmp_path, name, changed=name == "b.onnx"), memory=memory)
    assert counted[3:] == [counted[2]]
