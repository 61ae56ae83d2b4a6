"""The public model, its twins, and what is measured of them: without network, on the sample in its place."""

import io
import json
import subprocess
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

import onnxtop
from studies import _exports, _magika, _planting, _twins
from studies._records import made

TYPES = ["css", "python", "rst"]
KNOWN = {
    "python": {"extensions": ["py", "pyi"]},
    "css": {"extensions": ["css"]},
    "other": {"extensions": ["css2", "x"]},
    "rst": {"extensions": ["rst", "x"]},
}


@pytest.fixture(scope="module")
def sample():
    """Return the sample, its probe on a few samples, and all twins by name."""
    export = _twins.load("sample")
    probe = export.probe(export.part(0, 30))
    return export, probe, {twin.name: twin for twin in _twins.twins(len(_twins.weights(probe)))}


# The public model


def archive(path, files):
    with tarfile.open(path, "w:gz") as members:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            members.addfile(member, io.BytesIO(content))


def test_a_suffix_that_means_several_types_or_none_of_the_models_means_nothing():
    assert _magika.meanings(KNOWN, TYPES) == {"py": "python", "pyi": "python", "css": "css", "rst": "rst"}


def test_what_the_model_sees_of_a_file():
    short = _magika.features(b"  ab  ")
    assert short[:6] == [97, 98, 32, 32, 256, 256]
    assert short[-6:] == [256, 256, 32, 32, 97, 98]
    long = _magika.features(b"a" * 1500 + b"b" * 6000 + b"c" * 1100)
    assert long == [97] * 1024 + [99] * 1024
    assert len(_magika.features(bytes(range(256)) * 5)) == 2048


def test_files_are_drawn_the_same_whatever_their_order(tmp_path):
    long = b"x" * 300
    files = {f"a-1/{number}.py": long + bytes([97 + number]) for number in range(20)}
    files |= {"a-1/tests/examplefiles/b.css": long, "a-1/c.css": b"short", "a-1/d.x": long}
    archive(tmp_path / "one.tar.gz", files)
    archive(tmp_path / "two.tar.gz", dict(reversed(files.items())))
    suffixes = _magika.meanings(KNOWN, TYPES)
    x, labels = _magika.samples([tmp_path / "one.tar.gz"], suffixes, TYPES)
    assert np.bincount(labels).tolist() == [1, _magika.OF_A_TYPE]
    again = _magika.samples([tmp_path / "two.tar.gz"], suffixes, TYPES)
    np.testing.assert_array_equal(x, again[0])
    np.testing.assert_array_equal(labels, again[1])


def test_of_pygments_only_examples_are_files(tmp_path):
    archive(tmp_path / "p.tar.gz", {"pygments-2/a.py": b"a", "pygments-2/tests/examplefiles/b.py": b"b"})
    assert list(_magika.files(tmp_path / "p.tar.gz")) == [("py", b"b")]


def test_another_model_than_the_known_one_is_refused(tmp_path, monkeypatch):
    def pip(folder, *asked):
        if asked[-1] == _magika.MODEL:
            with zipfile.ZipFile(Path(folder, "m.whl"), "w") as members:
                members.writestr("magika/config/content_types_kb.min.json", json.dumps(KNOWN))
                folder = "magika/models/standard_v3_3"
                members.writestr(f"{folder}/config.min.json", json.dumps({"target_labels_space": TYPES}))
                members.writestr(f"{folder}/model.onnx", b"another")

    monkeypatch.setattr(_magika, "pip", pip)
    with pytest.raises(RuntimeError, match="wanted the model whose SHA-256 begins with"):
        _magika.fetch(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_package_that_cannot_be_had_is_named(monkeypatch, tmp_path):
    failed = subprocess.CompletedProcess([], 1, "", "no\nnetwork")
    monkeypatch.setattr(_magika.subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(RuntimeError, match=r"pip download magika==1\.0\.3: no network"):
        _magika.fetch(tmp_path)


# Twins


def test_rounding_is_to_the_nearest_of_a_grid():
    weight = np.random.default_rng(0).standard_normal((6, 5)) * np.arange(1, 6)
    for bits in (8, 3, 2):
        for axis in (None, 1):
            found = _planting.quantised(weight, bits, axis)
            largest = np.abs(weight).max(axis=None if axis is None else 0)
            step = largest / (2 ** (bits - 1) - 1)
            assert (np.abs(found - weight) <= step / 2 + 1e-12).all()
            np.testing.assert_allclose(found / step, np.round(found / step), atol=1e-9)
    assert not _planting.quantised(np.zeros((2, 2)), 4).any()


def test_twins_change_what_they_say(sample):
    _, probe, twins = sample
    weights = [each.slice for each in _twins.weights(probe)]
    for twin in twins.values():
        theta = twin.change(probe)
        moved = [place for place, own in enumerate(weights) if (theta[own] != probe.theta0[own]).any()]
        wanted = [] if twin.family == "float" else [twin.layer] if twin.layer >= 0 else [0, 1, 2]
        assert moved == wanted, twin.name
        rest = np.ones(len(theta), bool)
        for own in weights:
            rest[own] = False
        np.testing.assert_array_equal(theta[rest], probe.theta0[rest])


def test_noise_is_as_long_as_rounding(sample):
    _, probe, twins = sample
    lengths = [
        [
            np.linalg.norm((twins[name].change(probe) - probe.theta0)[each.slice])
            for each in _twins.weights(probe)
        ]
        for name in ("int4 per tensor", "noise as of int4")
    ]
    np.testing.assert_allclose(*lengths, rtol=1e-4)


def test_a_twin_in_a_file_is_the_twin(sample, tmp_path):
    export, probe, twins = sample
    theta = twins["int3 per channel"].change(probe)
    _twins.written(export, probe, theta, tmp_path / "twin.onnx")
    again = onnxtop.Probe(tmp_path / "twin.onnx", export.part(0, 30), threads=1)
    np.testing.assert_array_equal(again.theta0, theta)


def test_parts_share_no_samples():
    export = _twins.load("sample")
    rows = np.concatenate([export.part(number, 40)["labels"] for number in range(5)])
    np.testing.assert_array_equal(rows, export.labels[:200])


# What is measured


def test_the_loss_of_answers_is_that_of_the_probe(sample):
    export, probe, twins = sample
    data = export.part(0, 30)
    for name in ("float", "int2 per tensor"):
        theta = twins[name].change(probe)
        outputs = probe.outputs(theta)
        loss = probe.loss(theta)
        assert _exports.cross_entropy(outputs, data["labels"]) == pytest.approx(loss, rel=1e-4)
        shares = np.exp(outputs - outputs.max(1, keepdims=True)).astype(np.float64)
        shares /= shares.sum(1, keepdims=True)
        assert _exports.cross_entropy(shares, data["labels"]) == pytest.approx(loss, rel=1e-4)


@pytest.mark.parametrize(
    "run",
    [
        _exports.Losses("sample", 1, 20),
        _exports.Files("sample", 10, 16),
        _exports.Sharp("sample", "int8 per tensor", 10),
    ],
    ids=lambda run: run.kind,
)
def test_runs_give_what_is_read_again(run):
    result = run.measure()
    record = made(run, result, 1.0)
    assert type(record.result) is type(result)
    assert record.result.digest == _twins.load("sample").digest
    if run.kind == "export-losses":
        assert [score.twin for score in result.scores[-3:]] == list(_twins.RUNTIME)
        assert result.scores[0].same == 1
        assert {line.twin for line in result.lines} == set(_exports.LINES)
        assert hash(record.result)
    if run.kind == "export-files":
        assert result.twins[0].verdict == "SAME"
        assert len(result.traced) == 7
        assert hash(record.result)
