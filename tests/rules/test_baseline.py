"""Baselines: read, found for each model, refused where they cannot be compared."""

import dataclasses
import json
import os
from pathlib import Path

import pytest

from onnxtop.auditing.options import AuditOptions
from onnxtop.errors import ModelError, UsageError
from onnxtop.options import declared
from onnxtop.reader.limits import GIB
from onnxtop.render import render
from onnxtop.results.outcome import FailedModel
from onnxtop.results.report import Report, Settings, ToolInfo
from onnxtop.rules.baseline import foreign, incomparable, read_baseline
from tests.render.conftest import build_layer, build_report


def written(folder: Path, text: str) -> str:
    path = folder / "base.json"
    path.write_text(text, encoding="utf-8")
    return str(path)


def of_model(path: str) -> Report:
    return build_report(build_layer(), path=path)


def same(found: Report | str, wanted: Report) -> bool:
    return isinstance(found, Report) and found.to_dict() == wanted.to_dict()


@pytest.mark.parametrize("form", ["json", "jsonl"])
def test_one_report_goes_with_any_single_model(tmp_path: Path, form: str) -> None:
    base = read_baseline(written(tmp_path, render("report", form, [of_model("a.onnx")])))
    assert same(base.of("elsewhere/b.onnx", 1), of_model("a.onnx"))
    assert base.of("elsewhere/b.onnx", 2) == f"{base.path} has no report on this model"


@pytest.mark.parametrize("form", ["json", "jsonl"])
def test_several_reports(tmp_path: Path, form: str) -> None:
    failed = FailedModel("bad.onnx", 3, "cut off")
    paths = ["x/a.onnx", "y/a.onnx", "x/b.onnx"]
    base = read_baseline(written(tmp_path, render("report", form, [*map(of_model, paths), failed])))
    assert same(base.of("y/a.onnx", 4), of_model("y/a.onnx"))
    assert same(base.of("z/b.onnx", 4), of_model("x/b.onnx"))
    with pytest.raises(ModelError, match=r"several models called a\.onnx"):
        base.of("z/a.onnx", 4)
    assert "could not be analysed then" in str(base.of("bad.onnx", 4))


BROKEN = {
    "": "this is not JSON",
    "{": "this is not JSON",
    "not json\nnot json": "this is not JSON",
    "[" * 100_000: "this is not JSON: it is nested too deeply",
    "9" * 5000: "this is not JSON: a number has too many digits",
    "[]": "wanted reports of schema version 2.0",
    "3": "wanted reports of schema version 2.0",
    "{}": "wanted reports of schema version 2.0, found what onnxtop did not write: make one with "
    "onnxtop check --write-baseline",
    '{"schema_version": "1.0", "model": {}}': "wanted reports of schema version 2.0, found '1.0': make it "
    "anew with onnxtop check --write-baseline",
    '{"schema_version": "2.0"}': "wanted a list of reports, found None",
    '{"schema_version": "2.0", "reports": [3]}': "wanted a report, found 3",
    '{"schema_version": "2.0", "reports": [{}]}': "this is not a whole report",
    '{"schema_version": "2.0", "reports": []}': "it holds no report",
    '{"runs": [], "version": "2.1.0"}': "wanted reports of schema version 2.0",
}


@pytest.mark.parametrize("text", BROKEN, ids=range(len(BROKEN)))
def test_a_broken_baseline(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_baseline(written(tmp_path, text))
    assert BROKEN[text] in str(caught.value)
    assert str(caught.value).startswith(f"baseline {tmp_path / 'base.json'}: ")


def test_a_report_that_was_cut_off(tmp_path: Path) -> None:
    text = render("report", "json", [of_model("a.onnx")])
    with pytest.raises(UsageError, match="not JSON"):
        read_baseline(written(tmp_path, text[: len(text) // 2]))


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (
            (
                "reports",
                0,
                "layers",
            ),
            3,
        ),
        (("reports", 0, "layers", 0, "parameters"), "many"),
        (("reports", 0, "layers", 0, "neural_persistence", "normalized"), [0.5]),
        (("reports", 0, "layers", 0, "shape"), [1, True]),
        (("settings", "scale"), None),
        (("settings", "scale"), {}),
        (("reports", 0, "model", "path"), 7),
        (
            (
                "reports",
                0,
                "findings",
            ),
            [3],
        ),
        (("reports", 0, "layers", 0, "uses"), "abc"),
        (("reports", 0, "model", "opset"), [7]),
        (("reports", 0, "model", "opset"), {"a": "b"}),
        (("tool", "algorithms"), 7),
        (("settings", "input_shapes"), [[1]]),
        (("settings", "dims"), {"n": {}}),
        (("reports", 0, "loss_probe"), 1.5),
        (("reports", 0, "layers", 0, "n_in"), 10**400),
        (("reports", 0, "layers", 0, "variance"), 10**400),
        (("reports", 0, "layers", 0, "variance"), float("inf")),
        (
            (
                "reports",
                0,
                "findings",
            ),
            {"a": 1},
        ),
    ],
)
def test_a_report_with_a_wrong_part(tmp_path: Path, place: tuple[str | int, ...], value: object) -> None:
    plain = json.loads(render("report", "json", [of_model("a.onnx")]))
    spot = plain
    for step in place[:-1]:
        spot = spot[step]
    spot[place[-1]] = value
    with pytest.raises(UsageError, match="not a whole report"):
        read_baseline(written(tmp_path, json.dumps(plain)))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("scale", "x"),
        ("scale", -1.5),
        ("p", 0),
        ("p", "much"),
        ("convention", "x"),
        ("skips", ""),
        ("layers", "("),
        ("topology", 1),
    ],
)
def test_settings_that_no_report_is_made_with(tmp_path: Path, name: str, value: object) -> None:
    plain = json.loads(render("report", "json", [of_model("a.onnx")]))
    known = declared(AuditOptions)
    assert read_baseline(written(tmp_path, json.dumps(plain)), known=known).reports
    plain["settings"][name] = value
    with pytest.raises(UsageError, match=r"baseline .*: wanted .*, found .*; make it anew$") as told:
        read_baseline(written(tmp_path, json.dumps(plain)), known=known)
    assert "\n" not in str(told.value)


def test_a_baseline_with_an_infinite_order(tmp_path: Path) -> None:
    plain = json.loads(render("report", "json", [of_model("a.onnx")]))
    plain["settings"] |= {"p": "inf", "input_shapes": {"x": [1, 3]}, "inputs": ["x"], "layers": "a|b"}
    assert read_baseline(written(tmp_path, json.dumps(plain)), known=declared(AuditOptions)).reports


def test_a_baseline_without_end(tmp_path: Path) -> None:
    for file in (tmp_path / "pipe", Path("/dev/zero")):
        if file.name == "pipe":
            os.mkfifo(file)
        with pytest.raises(UsageError, match="cannot be read: it is a pipe or device"):
            read_baseline(str(file))


def test_a_baseline_that_is_larger_than_its_limit(tmp_path: Path) -> None:
    path = written(tmp_path, render("report", "json", [of_model("a.onnx")]))
    size = Path(path).stat().st_size / GIB
    assert read_baseline(path, {"baseline": size}).reports
    with pytest.raises(UsageError, match=r"^baseline .*: wanted at most .* GiB, found .*--limit baseline="):
        read_baseline(path, {"baseline": size / 2})


def test_a_byte_order_mark_is_no_part_of_a_baseline(tmp_path: Path) -> None:
    text = render("report", "json", [of_model("a.onnx")])
    (tmp_path / "base.json").write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert same(read_baseline(str(tmp_path / "base.json")).of("a.onnx", 1), of_model("a.onnx"))


def test_a_baseline_that_is_not_there_or_not_text(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read_baseline(str(tmp_path / "none.json"))
    (tmp_path / "b.json").write_bytes(b"\xff\x00")
    with pytest.raises(UsageError, match="not UTF-8"):
        read_baseline(str(tmp_path / "b.json"))


def test_what_can_be_compared() -> None:
    report = of_model("a.onnx")
    assert incomparable(report, of_model("b.onnx")) == ""
    shown = dataclasses.replace(report.settings, layers="fc", sortedness=True)
    assert incomparable(dataclasses.replace(report, settings=shown), report) == ""


def test_what_cannot_be_compared() -> None:
    report = of_model("a.onnx")
    newer = dataclasses.replace(report, tool=ToolInfo("onnxtop", "9", {"neural_persistence": 2}))
    assert "neural_persistence has version 1, in the baseline 2" in incomparable(report, newer)
    other = Settings("tree", "global", 2.0, "none", "flattened", 0)
    convention = incomparable(
        report, dataclasses.replace(report, settings=other), {"convention": "--convention"}
    )
    assert convention == "--convention is 'essential', in the baseline 'tree': give both the same"
    quick = dataclasses.replace(report, settings=dataclasses.replace(report.settings, structure=False))
    flags = {"structure": "--quick"}
    assert incomparable(report, quick, flags).startswith(
        "the baseline was made with --quick, this report without"
    )
    assert incomparable(quick, report, flags).startswith(
        "the baseline was made without --quick, this report with"
    )
    vanilla = dataclasses.replace(report, settings=dataclasses.replace(report.settings, standardise=False))
    flags = {name: each.flag for name, each in declared(AuditOptions).items()}
    assert incomparable(report, vanilla, flags).startswith(
        "the baseline was made with --no-standardise, this report without"
    )
    part = dataclasses.replace(report, settings=dataclasses.replace(report.settings, layers="fc"))
    assert "only layers matching 'fc'" in incomparable(report, part)
    other_model = build_report(build_layer("conv"), path="c.onnx")
    assert "another model, c.onnx" in foreign(report, other_model)
