import csv
import glob
import hashlib
import io
import json
import os
import tempfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper, numpy_helper

from onnxtop.cli import app, models as models_module
from onnxtop.cli.models import find_models, listed, without_strays
from onnxtop.errors import MissingInputError, UsageError
from onnxtop.results.outcome import FailedModel


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def find(*arguments):
    return [
        (model.path, model.code) if isinstance(model, FailedModel) else model.replace(os.sep, "/")
        for model in find_models(arguments)
    ]


def test_files_are_taken_as_they_are_named(models):
    models("b.onnx", "a.bin")
    assert find("b.onnx", "./a.bin") == ["b.onnx", "./a.bin"]


def test_a_folder_stands_for_its_models(models):
    models("m/z.onnx", "m/a/b.onnx", "m/a/weights.bin", "m/UP.ONNX", "m/.hidden.onnx")
    assert find("m") == ["m/.hidden.onnx", "m/UP.ONNX", "m/a/b.onnx", "m/z.onnx"]


def test_patterns_that_no_shell_has_expanded(models):
    models("m/z.onnx", "m/a/b.onnx", "m/a/weights.bin")
    assert find("m/*.onnx") == ["m/z.onnx"]
    assert find("m/**/*.onnx") == ["m/a/b.onnx", "m/z.onnx"]
    assert find("m/**") == ["m/a/b.onnx", "m/z.onnx"]
    assert find("m/?/*.bin") == ["m/a/weights.bin"]
    assert find("*") == ["m/a/b.onnx", "m/z.onnx"]


def test_a_name_that_exists_is_no_pattern(models):
    models("a[1].onnx", "a1.onnx", "d*/x.onnx")
    assert find("a[1].onnx") == ["a[1].onnx"]
    assert find("d*") == ["d*/x.onnx"]


def test_every_model_comes_once(models, tmp_path):
    models("m/a.onnx", "b.onnx")
    assert find("b.onnx", "m", "./b.onnx", "m/../b.onnx", "m/*", str(tmp_path / "b.onnx")) == [
        "b.onnx",
        "m/a.onnx",
    ]


def test_what_names_no_model_fails_in_its_place(models):
    models("a.onnx", "empty/readme.md")
    assert find("gone.onnx", "a.onnx", "gone*.onnx", "empty") == [
        ("gone.onnx", 3),
        "a.onnx",
        ("gone*.onnx", 3),
        ("empty", 4),
    ]


def test_links(models, tmp_path):
    models("a.onnx")
    (tmp_path / "link.onnx").symlink_to("a.onnx")
    (tmp_path / "broken.onnx").symlink_to("nowhere")
    (tmp_path / "loop").symlink_to(".", target_is_directory=True)
    assert find(".") == ["a.onnx", "broken.onnx", "link.onnx"]


@pytest.fixture
def refused(monkeypatch):
    """Let nobody list a folder called secret, nor look at what is in it."""

    def refusing(call):
        def refuse(path, *rest, **more):
            if "secret" in Path(path).parts[: None if call is scandir else -1]:
                raise PermissionError(13, "Permission denied", str(path))
            return call(path, *rest, **more)

        return refuse

    scandir, lstat = os.scandir, os.lstat
    monkeypatch.setattr(os, "scandir", refusing(scandir))
    monkeypatch.setattr(os, "lstat", refusing(lstat))


@pytest.mark.parametrize(
    ("named", "lost"),
    [
        ("m", "m/secret"),
        ("m*", "m/secret"),
        ("m/**", "m/secret"),
        ("**/*.onnx", "m/secret"),
        ("m/**/*.onnx", "m/secret"),
        ("m/**/**/*.onnx", "m/secret"),
        ("./m/*/*.onnx", "m/secret"),
        ("m/*/b.onnx", "m/secret/b.onnx"),
        ("m/secret/*.onnx", "m/secret"),
        ("m/secret/deep/**", "m/secret/deep"),
    ],
)
def test_a_folder_that_may_not_be_read_is_lost_however_it_was_named(models, refused, named, lost):
    models("m/a.onnx", "m/other/b.onnx", "m/secret/b.onnx")
    assert (lost.replace("/", os.sep), 3) in find(named)
    (failed,) = [each for each in find_models([named]) if isinstance(each, FailedModel)]
    assert failed.message == "cannot be read: Permission denied"
    assert CliRunner().invoke(app, ["layers", named]).exit_code == 3


def test_a_pattern_that_needs_nothing_of_a_folder_does_not_mind_it(models, refused):
    models("m/a.onnx", "m/other/b.onnx", "m/secret/b.onnx")
    assert find("m/*.onnx") == ["m/a.onnx"]
    assert find("m/o*/*.onnx") == ["m/other/b.onnx"]


@pytest.mark.parametrize(
    "pattern", ["*", "./*.onnx", "m/*", "m/*/", "*/*", "*/*/*.onnx", "m/.h*", "m/[ab].onnx", "m/?/../*.onnx"]
)
def test_patterns_are_those_of_glob(models, tmp_path, pattern):
    models("a.onnx", "m/b.onnx", "m/a/c.onnx", "m/.hidden.onnx", "n.d/[x]/d.onnx")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "gone").symlink_to("nowhere")
    for each in (pattern, str(tmp_path / pattern)):
        assert sorted(models_module._expanded(each, refused := [])) == sorted(glob.glob(each))  # noqa: PTH207 (that it is)
        assert not refused


def save(path, data=None):
    """Save a model of one weight, inside its file or outside."""
    path.parent.mkdir(parents=True, exist_ok=True)
    model = small_model()
    if data is not None:
        onnx.save(model, path, save_as_external_data=True, location=data, size_threshold=0)
    else:
        onnx.save(model, path)


def small_model():
    values = numpy_helper.from_array(np.ones((2, 3), np.float32), "w")
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    x, y = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, size])
        for name, size in (("x", 2), ("y", 3))
    )
    opset = [helper.make_opsetid("", 18)]
    return helper.make_model(helper.make_graph([node], "g", [x], [y], [values]), opset_imports=opset)


def test_external_data_stands_for_the_models_that_refer_to_it(tmp_path):
    (tmp_path / "m" / "deep").mkdir(parents=True)
    save(tmp_path / "m" / "a.onnx", "deep/odd name.bin")
    save(tmp_path / "m" / "B.ONNX", "other_data")
    save(tmp_path / "m" / "c.onnx")
    (tmp_path / "m" / "d.onnx").write_bytes(b"no model")
    (tmp_path / "m" / "alias.onnx").symlink_to("a.onnx")
    assert find("m/deep/odd name.bin") == ["m/a.onnx", "m/alias.onnx"]
    assert find("m/other_data", "m/B.ONNX", str(tmp_path / "m" / "other_data")) == ["m/B.ONNX"]


def test_external_data_stands_for_its_model_from_any_folder(tmp_path, monkeypatch):
    (tmp_path / "m" / "deep").mkdir(parents=True)
    save(tmp_path / "m" / "a.onnx", "deep/w.data")
    monkeypatch.chdir(tmp_path / "m" / "deep")
    assert find("w.data") == ["../a.onnx"]
    assert find("../deep/w.data") == ["../a.onnx"]
    assert find(str(tmp_path / "m" / "deep" / "w.data")) == [(tmp_path / "m" / "a.onnx").as_posix()]


def test_data_outside_a_subgraph_s_constant_is_found_too(tmp_path):
    inner = onnx.load_model_from_string(small_model().SerializeToString())
    branch = helper.make_graph(inner.graph.node, "b", [], inner.graph.output, inner.graph.initializer)
    node = helper.make_node("If", ["c"], ["z"], then_branch=branch, else_branch=branch)
    condition = helper.make_tensor_value_info("c", TensorProto.BOOL, [])
    z = helper.make_tensor_value_info("z", TensorProto.FLOAT, [1, 3])
    graph = helper.make_graph([node], "g", [condition, *inner.graph.input], [z])
    for attribute in graph.node[0].attribute:
        (tensor,) = attribute.g.initializer
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="inner_data")
    (tmp_path / "a.onnx").write_bytes(helper.make_model(graph).SerializeToString())
    (tmp_path / "inner_data").write_bytes(bytes(24))
    assert find("inner_data") == ["a.onnx"]


def test_a_file_that_no_model_refers_to_is_taken_as_it_is(tmp_path):
    save(tmp_path / "a.onnx", "a.data")
    save(tmp_path / "model.pb")
    (tmp_path / "b.data").write_bytes(b"notes")
    assert find("b.data", "model.pb") == ["b.data", "model.pb"]


def test_strays_are_neither_models_nor_their_data(tmp_path):
    save(tmp_path / "a.onnx", "a.data")
    save(tmp_path / "model.pb")
    for name in ("b.data", "empty_data", "broken.onnx"):
        (tmp_path / name).write_bytes(b"notes" if name != "empty_data" else b"")
    named = ["a.data", "b.data", "broken.onnx", "empty_data", "gone.data", "model.pb", "a.onnx"]
    kept = ["a.data", "broken.onnx", "gone.data", "model.pb", "a.onnx"]
    assert without_strays(named) == (kept, ["b.data", "empty_data"])


def test_addresses_and_standard_input_are_taken_as_they_are(models):
    models("-", "https:/example.org/a.onnx")
    named = ["https://example.org/a.onnx", "S3://bucket/*.onnx", "-", "hf://org/model/a.onnx", "-"]
    assert find(*named) == named[:4]


def test_an_address_of_another_kind_is_named():
    (failed,) = find_models(["ftp://example.org/a.onnx"])
    assert failed == FailedModel(
        "ftp://example.org/a.onnx",
        3,
        "wanted an address of https, http, s3, hf, gs, found one of ftp",
    )


@pytest.mark.parametrize(
    "content",
    [
        b"a b.onnx\n\nm\n*.onnx",
        b"a b.onnx\r\nm\r\n*.onnx\r\n",
        b"\xef\xbb\xbfa b.onnx\nm\n*.onnx\n",
        b"a b.onnx\0m\0*.onnx\0",
    ],
)
def test_a_list_of_models(content, tmp_path):
    (tmp_path / "list").write_bytes(content)
    assert listed("list") == ("a b.onnx", "m", "*.onnx")


def test_names_in_a_list_may_hold_anything_but_nul(tmp_path):
    (tmp_path / "list").write_bytes(b"a\nb.onnx\0 # c.onnx\0\xff.onnx\0")
    assert [os.fsencode(name) for name in listed("list")] == [b"a\nb.onnx", b" # c.onnx", b"\xff.onnx"]


def test_a_list_that_is_not_there():
    with pytest.raises(
        MissingInputError, match="gone: wanted a list of models, found none: there is no such"
    ):
        listed("gone")


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("m.onnx", "model", "a model: name it without --files-from"),
        ("list", "model", "a model: name it without --files-from"),
        ("cut.onnx", "half", "a model: name it without --files-from"),
        ("list", b"PK\3\4\0\0", r"a zip archive .*: write names into a text, one a line"),
        ("w.gguf", b"GGUF\3\0\0\0", r"a model of llama.cpp .*: write names into a text, one a line"),
    ],
)
@pytest.mark.parametrize("most", [models_module._MOST, 100])
def test_what_is_no_list(tmp_path, monkeypatch, name, content, found, most):
    model = small_model().SerializeToString()
    (tmp_path / name).write_bytes({"model": model, "half": model[:40]}.get(content, content))
    monkeypatch.setattr(models_module, "_MOST", most)
    with pytest.raises(UsageError, match=f"{name}: wanted a list of models, found {found}$"):
        listed(name)
    if content != "half":
        done = invoke("--files-from", "-", standard_input=Path(name).read_bytes())
        assert (done.exit_code, done.stderr.count("\n")) == (2, 1)


def test_a_list_without_an_end(monkeypatch):
    monkeypatch.setattr(models_module, "_MOST", 1000)
    with pytest.raises(UsageError, match=r"zero: wanted a list of models, found .* more than 1,000 bytes"):
        listed("/dev/zero")


def invoke(*arguments, standard_input=None):
    return CliRunner().invoke(app, ["layers", "-f", "csv", *arguments], input=standard_input)


def test_a_list_names_more_models(tmp_path):
    for name in ("a.onnx", "b.onnx", "c.onnx"):
        save(tmp_path / name)
    (tmp_path / "list").write_text("b.onnx\na.onnx\n")
    for done in (
        invoke("c.onnx", "--files-from", "list"),
        invoke("c.onnx", "--files-from", "-", standard_input="b.onnx\na.onnx\n"),
    ):
        assert [row["model"] for row in csv.DictReader(io.StringIO(done.stdout))] == [
            "c.onnx",
            "b.onnx",
            "a.onnx",
        ]


def test_a_list_of_nothing(tmp_path):
    (tmp_path / "list").write_text("\n")
    done = invoke("--files-from", "list")
    assert (done.exit_code, done.stderr) == (4, "onnxtop: error: list: names no model\n")
    done = CliRunner().invoke(app, ["check", "--skip-strays", "--files-from", "list"])
    assert (done.exit_code, done.stdout) == (0, "")
    assert invoke().exit_code == 2


def test_a_model_on_standard_input(tmp_path):
    content = small_model().SerializeToString()
    done = invoke("-", standard_input=content)
    assert done.exit_code == 0
    assert [row["model"] for row in csv.DictReader(io.StringIO(done.stdout))] == ["<stdin>"]
    done = invoke("-", standard_input=b"")
    assert done.exit_code == 3
    assert "<stdin>: wanted an ONNX model, found an empty file" in done.stderr
    done = invoke("-", "--files-from", "-", standard_input=content)
    assert done.exit_code == 2
    assert "either a model or a list" in done.stderr


def test_what_is_on_standard_input_is_read_once_and_held_by_nobody(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    done = CliRunner().invoke(app, ["check", "-", "-f", "json"], input=small_model().SerializeToString())
    (report,) = json.loads(done.stdout)["reports"]
    assert report["model"]["path"] == "<stdin>"
    assert report["model"]["sha256"] == hashlib.sha256(small_model().SerializeToString()).hexdigest()
    assert not list(tmp_path.iterdir())


def test_standard_input_is_a_model_however_often_it_is_asked_for(tmp_path):
    """Beside an earlier model, as both sides of a comparison, and where it is no model at all."""
    save(tmp_path / "a.onnx")
    content = small_model().SerializeToString()
    for arguments, words in (
        (["check", "-", "--baseline", "a.onnx"], ""),
        (["check", "-", "--baseline", "-"], ""),
        (["diff", "-", "a.onnx"], "SAME"),
        (["diff", "-", "-"], "SAME"),
        (["trace", "-", "a.onnx"], "nothing moved"),
    ):
        done = CliRunner().invoke(app, arguments, input=content)
        assert (done.exit_code, done.stderr) == (0, ""), arguments
        assert words in done.stdout
    for jobs in (1, 2):
        done = CliRunner().invoke(app, ["trace", "-", "-j", str(jobs)], input=b"hello")
        assert (done.exit_code, "found text" in done.stderr) == (3, True)


def test_standard_input_is_read_here_whoever_works_on_the_rest(tmp_path):
    save(tmp_path / "a.onnx")
    content = small_model().SerializeToString()
    arguments = ["report", "-f", "csv", "--cache", "off", "-j", "2", "a.onnx", "-"]
    done = CliRunner().invoke(app, arguments, input=content)
    assert done.exit_code == 0, done.stderr
    rows = csv.DictReader(io.StringIO(done.stdout))
    assert [row["model"] for row in rows] == ["a.onnx", "<stdin>"]
