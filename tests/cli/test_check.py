"""``onnxtop check`` with planted audits: what fails, what passes, what is told and returned."""

import dataclasses
import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from onnxtop.cli import app
from onnxtop.render import render
from tests.cli.conftest import read_typical

SAMPLES = Path(__file__).parents[2] / "sample_models"


@pytest.fixture
def check(planted):
    return lambda *args: CliRunner().invoke(app, ["check", *args])


def only(text):
    """Return the entry of the one model of a report."""
    (entry,) = json.loads(text)["reports"]
    return entry


def write_baseline(path, **changes):
    report = read_typical()
    path.write_text(render("report", "json", [dataclasses.replace(report, **changes)]), encoding="utf-8")
    return str(path)


def test_what_failed_comes_first_and_the_last_line_sums_up(check, models):
    models("clean.onnx", "format.onnx")
    result = check("format.onnx", "clean.onnx")
    lines = result.stdout.splitlines()
    assert lines[0].startswith("FAIL  clean.onnx  1 error")
    assert any("OT101" in line for line in lines)
    assert lines[-1] == "2 models: 1 failed, 1 not analysed"
    assert result.exit_code == 3
    assert result.stderr == "onnxtop: error: format.onnx: cut off\n"


def test_exit_codes(check, models):
    models("clean.onnx", "format.onnx", "empty.onnx", "bug.onnx")
    assert check("clean.onnx").exit_code == 1
    assert check("clean.onnx", "--fail-on", "never").exit_code == 0
    assert check("clean.onnx", "--ignore", "OT1").exit_code == 0
    assert check("clean.onnx", "--select", "OT2,OT3").exit_code == 0
    assert check("clean.onnx", "format.onnx").exit_code == 3
    assert check("empty.onnx").exit_code == 4
    assert check("clean.onnx", "bug.onnx").exit_code == 5
    assert check("nowhere.onnx").exit_code == 3


def test_a_model_is_needed(check):
    result = check()
    assert result.exit_code == 2
    assert "Missing argument 'MODEL...'" in result.stderr


@pytest.mark.parametrize("flag", ["--select", "--ignore"])
def test_rules_that_do_not_exist(check, models, planted, flag):
    models("clean.onnx")
    result = check("clean.onnx", flag, "not-finit")
    assert result.exit_code == 2
    assert "there is no rule 'not-finit': did you mean not-finite?" in result.stderr
    assert planted.calls == []


def test_configuration_and_flags(check, models, tmp_path):
    models("clean.onnx")
    (tmp_path / "onnxtop.toml").write_text('fail-on = "never"\nconv = "channels"\n[severity]\nOT101 = "note"')
    assert check("clean.onnx").exit_code == 0
    assert check("clean.onnx").stdout.startswith("pass  clean.onnx  cannot tell")
    other = tmp_path / "other.toml"
    other.write_text('fail-on = "never"')
    assert check("clean.onnx", "--config", str(other)).stdout.startswith("pass  clean.onnx  1 error")
    assert check("clean.onnx", "--config", str(other), "--fail-on", "error").exit_code == 1


def test_a_configuration_that_makes_no_sense_stops_before_the_work(check, models, planted, tmp_path):
    models("clean.onnx")
    (tmp_path / "onnxtop.toml").write_text("fale-on = 3")
    result = check("clean.onnx")
    assert result.exit_code == 2
    assert "unknown key 'fale-on': did you mean fail-on?" in result.stderr
    assert planted.calls == []


def test_options_of_the_audit(check, models, planted, tmp_path):
    models("clean.onnx")
    (tmp_path / "onnxtop.toml").write_text('conv = "channels"\np = "inf"\nseed = 4')
    check("clean.onnx", "--seed", "5", "--layers", "conv", "--to-output", "y")
    ((_, options),) = planted.calls
    assert (options.conv, options.p, options.seed) == ("channels", float("inf"), 5)
    assert (options.layers, options.outputs) == ("conv", ("y",))


def test_settings_and_where_they_come_from(check, tmp_path):
    (tmp_path / "onnxtop.toml").write_text(
        '[thresholds]\n"np.normalized" = {min = 0.05}\n[ignore-layers]\nOT2 = ["a"]'
    )
    result = check("--show-settings", "--fail-on", "warning", "--no-standardise", "--rescale")
    assert result.exit_code == 0
    lines = {line.split(" = ")[0]: line for line in result.stdout.splitlines()}
    assert lines["fail-on"].endswith("# --fail-on")
    assert lines["thresholds"].startswith('thresholds = {"np.normalized" = {"min" = 0.05}}')
    assert lines["thresholds"].endswith(f"# {tmp_path / 'onnxtop.toml'}")
    assert lines["ignore-layers"].startswith('ignore-layers = {"OT2" = ["a"]}')
    assert lines["convention"].endswith("# default")
    assert re.fullmatch(r"standardise = false +# --no-standardise", lines["standardise"])
    assert re.fullmatch(r"rescale = true +# --rescale", lines["rescale"])


def test_settings_that_are_shown_can_be_a_file(check, tmp_path):
    (tmp_path / "onnxtop.toml").write_text(
        'p = "inf"\n[thresholds]\nnp.normalized = {min = 0.123456789}\n'
        '[severity]\nOT201 = "off"\n[ignore-layers]\nOT2 = ["a", "b"]\nall-zero = "c"'
    )
    shown = [line.split("  # ")[0] for line in check("--show-settings").stdout.splitlines()]
    (tmp_path / "onnxtop.toml").write_text("\n".join(shown))
    assert [line.split("  # ")[0] for line in check("--show-settings").stdout.splitlines()] == shown


@pytest.mark.parametrize(
    ("flag", "value", "wanted"),
    [
        ("--draws", "x", "'x' is not a valid whole number"),
        ("--time-limit", "x", "'x' is not a valid number"),
        ("--memory-limit", "nan", "not a valid number"),
        ("--time-limit", "inf", "not a valid number"),
    ],
)
def test_numbers_that_are_none(check, flag, value, wanted):
    result = check("model.onnx", flag, value)
    assert result.exit_code == 2
    assert wanted in result.stderr


def test_layers_choose_what_is_shown(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = str(SAMPLES / "mlp_jax.onnx")
    (tmp_path / "onnxtop.toml").write_text('[thresholds]\n"np.normalized" = {min = 1.5}')

    def report(*args):
        return only(CliRunner().invoke(app, ["check", model, "-f", "json", *args]).stdout)

    everything, nothing = report(), report("--layers", "nothing")
    assert {layer["name"] for layer in everything["layers"]} <= {
        each["layer"] for each in everything["findings"]
    }
    assert nothing["layers"] == []
    whole = json.loads(CliRunner().invoke(app, ["check", model, "-f", "json", "--layers", "nothing"]).stdout)
    assert whole["settings"]["layers"] == "nothing"
    assert nothing["network"] == everything["network"]
    assert all(finding["layer"] is None for finding in nothing["findings"])


# Baselines


def test_known_findings_pass(check, models, tmp_path):
    models("clean.onnx")
    first = check("clean.onnx", "-o", "base.json")
    assert first.exit_code == 1
    second = check("clean.onnx", "--baseline", "base.json")
    assert second.exit_code == 0
    assert second.stdout.startswith("pass  clean.onnx  ")
    assert "known" in second.stdout
    (tmp_path / "onnxtop.toml").write_text('baseline = "base.json"')
    assert check("clean.onnx").exit_code == 0


def test_a_baseline_of_another_algorithm_version(check, models, tmp_path):
    models("clean.onnx")
    report = read_typical()
    tool = dataclasses.replace(report.tool, algorithms={"neural_persistence": 99})
    base = write_baseline(tmp_path / "base.json", tool=tool)
    result = check("clean.onnx", "--baseline", base)
    assert result.exit_code == 3
    assert "OT500" in result.stdout


@pytest.mark.parametrize("text", ["", "{}", '{"schema_version": "0.1"}'])
def test_a_broken_baseline_stops_before_the_work(check, models, planted, tmp_path, text):
    models("clean.onnx")
    (tmp_path / "base.json").write_text(text)
    result = check("clean.onnx", "--baseline", "base.json")
    assert result.exit_code == 2
    assert result.stderr.startswith("onnxtop: error: baseline base.json: ")
    assert planted.calls == []


def test_the_baseline_is_not_overwritten(check, models, tmp_path):
    models("clean.onnx")
    base = write_baseline(tmp_path / "base.json")
    before = Path(base).read_bytes()
    assert check("clean.onnx", "--baseline", "base.json", "-o", "base.json").exit_code == 2
    assert Path(base).read_bytes() == before


def test_a_baseline_names_the_flag_that_differs(tmp_path):
    model, base = str(SAMPLES / "mlp_jax.onnx"), str(tmp_path / "base.json")
    runner = CliRunner()
    assert runner.invoke(app, ["report", model, "--quick", "-f", "json", "-o", base]).exit_code == 0
    result = runner.invoke(app, ["check", model, "--baseline", base])
    assert result.exit_code == 3
    told = " ".join(result.stdout.split())
    assert "OT500 the baseline was made with --quick, this report without: give both the same" in told
    assert runner.invoke(app, ["check", model, "--baseline", base, "--quick"]).exit_code == 0


def test_a_baseline_is_written_whatever_was_found(check, models, tmp_path):
    models("clean.onnx")
    assert check("clean.onnx", "--write-baseline", "base.json").exit_code == 1
    assert check("clean.onnx", "--baseline", "base.json").exit_code == 0
    assert check("clean.onnx", "--baseline", "base.json", "--write-baseline", "base.json").exit_code == 0
    assert check("clean.onnx", "--write-baseline", "clean.onnx").exit_code == 2
    assert check("clean.onnx", "-o", "a.json", "--write-baseline", "a.json").exit_code == 2
    assert not (tmp_path / "a.json").exists()


def test_a_configured_baseline_is_written_the_first_time(check, models, tmp_path):
    models("clean.onnx")
    (tmp_path / "onnxtop.toml").write_text('baseline = "base.json"')
    missing = check("clean.onnx")
    assert missing.exit_code == 2
    assert "--write-baseline makes one" in missing.stderr
    assert check("clean.onnx", "--write-baseline", "other.json").exit_code == 2
    assert check("clean.onnx", "--write-baseline", "./base.json").exit_code == 1
    assert check("clean.onnx").exit_code == 0


def test_a_model_that_the_baseline_does_not_know_is_judged_by_itself(check, models):
    models("clean.onnx", "warned.onnx")
    assert check("clean.onnx", "--write-baseline", "base.json").exit_code == 1
    result = check("clean.onnx", "warned.onnx", "--baseline", "base.json", "--all")
    assert result.exit_code == 1
    known, new = result.stdout.split("pass  ")
    assert "note OT513 base.json has no report on this model: it is judged by itself" in " ".join(
        known.split()
    )
    assert "known" in new


def test_a_model_trained_anew_is_compared_by_structure(tmp_path):
    """The same network from another start: every value differs, shapes and encodings do not."""
    minima = SAMPLES / "minima"
    old, new = sorted(minima.glob("*.onnx"))[:2]
    base = str(tmp_path / "base.json")
    runner = CliRunner()
    runner.invoke(app, ["check", str(old), "--write-baseline", base, "--fail-on", "never"])
    values = runner.invoke(app, ["check", str(new), "--baseline", base, "--select", "OT5", "-f", "json"])
    assert {each["rule"] for each in only(values.stdout)["findings"]} >= {"OT501"}
    (tmp_path / "onnxtop.toml").write_text('compare = "structure"')
    arguments = [
        "check",
        str(new),
        "--baseline",
        base,
        "--select",
        "OT5",
        "--config",
        str(tmp_path / "onnxtop.toml"),
    ]
    structure = runner.invoke(app, [*arguments, "-f", "json"])
    assert only(structure.stdout)["findings"] == []
    assert structure.exit_code == 0


def test_a_report_reads_the_configuration_of_a_check(tmp_path, monkeypatch):
    """What is measured and how it is judged are the same, so a report can be the baseline of a check."""
    monkeypatch.chdir(tmp_path)
    model = str(SAMPLES / "mlp_jax.onnx")
    text = 'scale = "layer"\nfail-on = "error"\n[thresholds]\nnp.normalized = {min = 0.99}\n'
    (tmp_path / "onnxtop.toml").write_bytes(b"\xef\xbb\xbf" + text.encode())
    runner = CliRunner()
    done = runner.invoke(app, ["report", model, "-f", "json", "-o", "base.json"])
    assert done.exit_code == 0
    report = json.loads((tmp_path / "base.json").read_text())
    assert report["settings"]["scale"] == "layer"
    assert {finding["rule"] for finding in report["reports"][0]["findings"]} == {"OT401"}
    assert runner.invoke(app, ["check", model]).exit_code == 1
    assert runner.invoke(app, ["check", model, "--baseline", "base.json"]).exit_code == 0


# Outputs


def test_the_order_of_models_changes_nothing_in_their_reports(check, models):
    models("clean.onnx", "warned.onnx")
    one, two = (
        json.loads(check(*order, "-f", "json").stdout)["reports"]
        for order in (
            ("clean.onnx", "warned.onnx"),
            ("warned.onnx", "clean.onnx"),
        )
    )
    assert one == two


def test_several_formats_in_one_run(check, models, tmp_path):
    models("clean.onnx")
    result = check(
        "clean.onnx", "-f", "json", "-o", "a.json", "-f", "markdown", "-o", "a.md", "-f", "terminal"
    )
    assert result.stdout.startswith("FAIL  ")
    assert only((tmp_path / "a.json").read_text())["findings"]
    assert (tmp_path / "a.md").read_text().startswith("## ")


@pytest.mark.parametrize("width", ["40", "80"])
def test_no_line_is_wider_than_the_page(check, models, width, monkeypatch):
    models("clean.onnx", "warned.onnx")
    monkeypatch.setenv("COLUMNS", width)
    assert max(map(len, check("clean.onnx", "warned.onnx", "--all").stdout.splitlines())) <= 80


def test_many_models_that_pass_are_counted(check, models, monkeypatch):
    models(*(f"clean-{number:02}.onnx" for number in range(20)))
    monkeypatch.setenv("COLUMNS", "80")  # of a page as wide as its lines each model has one; so it does here
    result = check(".", "--select", "OT106")
    assert "and 8 more that pass" in result.stdout
    assert result.stdout.endswith("20 models: 20 passed\n")
    assert "more that pass" not in check(".", "--select", "OT106", "--all").stdout


# What was not checked


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--select", "OT5"], "no rule ran"),
        (["--ignore", "OT"], "no rule ran"),
        (["--layers", "no such layer"], "no layer name matches 'no such layer'"),
    ],
)
def test_a_check_of_nothing_is_no_pass(monkeypatch, arguments, told):
    monkeypatch.chdir(SAMPLES)
    done = CliRunner().invoke(app, ["check", "mlp_jax.onnx", *arguments])
    assert done.exit_code == 4
    assert done.stdout.startswith("none  mlp_jax.onnx  nothing to analyse\n")
    assert told in done.stdout
    assert done.stdout.endswith("1 model: 1 nothing to analyse\n")
    found = json.loads(CliRunner().invoke(app, ["check", "mlp_jax.onnx", *arguments, "-f", "json"]).stdout)
    assert found["verdict"] == found["reports"][0]["verdict"] == "nothing to analyse"


def test_what_quick_leaves_out_is_counted_in_every_format(monkeypatch):
    monkeypatch.chdir(SAMPLES)

    def written(form):
        return CliRunner().invoke(app, ["check", "mlp_untrained.onnx", "--quick", "-f", form]).stdout

    (count,) = re.findall(r"(\d+) rules not run: --quick", written("terminal"))
    assert f"{count} rules not run&#58; --quick" in written("markdown")
    assert written("junit").count('<skipped message="--quick" />') == int(count)
    assert written("sarif").count("was not run: --quick") == int(count)
    not_run = only(written("json"))["rules"]["not_run"]
    assert [each["reason"] for each in not_run].count("--quick") == int(count)


def test_times_are_an_option(check, models):
    models("clean.onnx")
    plain = check("clean.onnx", "-f", "junit").stdout
    timed = check("clean.onnx", "-f", "junit", "--junit-times").stdout
    assert "time=" not in plain
    assert re.search(r'<testsuite name="clean.onnx" [^>]*time="\d+\.\d{3}"', timed)
    assert re.sub(r' time="[^"]*"', "", timed) == plain


@pytest.mark.parametrize("form", ["junit", "sarif", "github"])
def test_layers_have_no_formats_of_findings(form):
    done = CliRunner().invoke(app, ["layers", str(SAMPLES / "mlp_jax.onnx"), "-f", form])
    assert done.exit_code == 2


@pytest.mark.parametrize("flag", ["--select", "--ignore"])
@pytest.mark.parametrize("names", ["", ",", " , "])
def test_no_rules_at_all_are_no_selection(samples, flag, names):
    done = CliRunner().invoke(app, ["check", str(samples / "mlp_jax.onnx"), flag, names])
    assert (done.exit_code, done.stdout) == (2, "")
    assert f"{flag}: wanted rules, found {names!r}" in done.stderr
