"""Configuration: found, read, checked, and told where it is from."""

import math
from pathlib import Path

import pytest

from onnxtop.auditing.options import AuditOptions
from onnxtop.errors import UsageError
from onnxtop.options import declared
from onnxtop.rules.policy import KEYS, check_rules, find_config, policy_of, read_config
from onnxtop.rules.rule import Band

OPTIONS = declared(AuditOptions)

WHOLE = """
fail-on = "warning"
select = ["OT1", "dead-outputs"]
ignore = ["OT108"]
baseline = "old.json"
compare = "structure"
convention = "tree"
scale = 2
p = "inf"
bias = "row"
conv = "channels"
count-fixed = true
peepholes = false
sortedness = true
standardise = false
rescale = false
skips = "cut"
seed = 7
time-limit = 30
memory-limit = 2.5
max-download = 4

[limits]
nodes = 100
file = 1.5

[severity]
dead-outputs = "error"
OT302 = "off"

[thresholds]
"np.normalized" = {min = 0.05, max = 1}

[tolerances]
variance = 0.5

[ignore-layers]
untrained-layer = ["head.*", "embed"]
OT2 = "x"
"""


def write(folder: Path, text: str, name: str = "onnxtop.toml") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("written", ["inf", "+inf", '"inf"'])
def test_infinity_is_what_toml_and_the_flag_call_it(tmp_path: Path, written: str) -> None:
    assert read_config(write(tmp_path, f"p = {written}"), OPTIONS).values == {"p": math.inf}


def test_every_key(tmp_path: Path) -> None:
    values = read_config(write(tmp_path, WHOLE), OPTIONS).values
    assert set(values) == {*KEYS, *(each.key for each in OPTIONS.values() if each.option.in_file)}
    assert values["baseline"] == str(tmp_path / "old.json")
    assert values["p"] == math.inf
    policy = policy_of(values)
    assert policy.structure_only
    assert policy.severities == {"dead-outputs": "error", "OT302": "off"}
    assert policy.band("np.normalized") == Band(0.05, 1.0)
    assert policy.band("dead.outputs") == Band(max=0.1)
    assert policy.tolerance("variance") == 0.5
    assert policy.tolerance("np.normalized") == 0.1
    assert policy.ignores == (("untrained-layer", "head.*"), ("untrained-layer", "embed"), ("OT2", "x"))


@pytest.mark.parametrize("key", ['"np.normalized"', "np.normalized", "'np.normalized'"])
def test_names_with_a_dot_need_no_quotes(tmp_path: Path, key: str) -> None:
    text = f"[thresholds]\n{key} = {{min = 0.05}}\n[tolerances]\n{key} = 0.2\nvariance = 0.3\n"
    policy = policy_of(read_config(write(tmp_path, text), OPTIONS).values)
    assert policy.band("np.normalized") == Band(min=0.05)
    assert (policy.tolerance("np.normalized"), policy.tolerance("variance")) == (0.2, 0.3)


def test_the_nearest_parent_wins(tmp_path: Path) -> None:
    write(tmp_path, 'fail-on = "never"')
    write(tmp_path / "a", '[tool.onnxtop]\nfail-on = "error"', "pyproject.toml")
    write(tmp_path / "a" / "b", "[tool.other]\n[project]\nname = 'x'", "pyproject.toml")
    (tmp_path / "a" / "b" / "c").mkdir()
    found = find_config(tmp_path / "a" / "b" / "c", OPTIONS)
    assert found.path == tmp_path / "a" / "pyproject.toml"
    assert found.values == {"fail-on": "error"}
    assert find_config(tmp_path, OPTIONS).values == {"fail-on": "never"}


def test_the_file_of_its_own_goes_before_the_project(tmp_path: Path) -> None:
    write(tmp_path, "seed = 1")
    write(tmp_path, "[tool.onnxtop]\nseed = 2", "pyproject.toml")
    assert find_config(tmp_path, OPTIONS).values == {"seed": 1}


def test_an_empty_table_is_a_configuration(tmp_path: Path) -> None:
    write(tmp_path, "[tool.onnxtop]", "pyproject.toml")
    assert find_config(tmp_path, OPTIONS).path == tmp_path / "pyproject.toml"


WRONG = {
    "fail_on = 'error'": "unknown key 'fail_on': did you mean fail-on?",
    "colour = 1": "unknown key 'colour'",
    "zzzz = 1": "unknown key 'zzzz'; known are fail-on, select",
    "quick = true": "unknown key 'quick': the flag --quick has none",
    "input-shape = 'x=1'": "the flag --input-shape has none",
    "np.normalized = {min = 1}": "figures stand under [thresholds] or [tolerances]",
    "fail-on = 'warn'": "fail-on: wanted one of error, warning, never, found 'warn': did you mean warning?",
    "select = 'OT1'": "wanted a list of rules",
    "select = ['OT9']": "there is no rule 'OT9'",
    "ignore = ['dead-output']": "there is no rule 'dead-output': did you mean dead-outputs?",
    "ignore = ['']": "there is no rule ''",
    "baseline = 3": "wanted a string",
    "[severity]\ndead-inputs = 'fatal'": "severity: dead-inputs: wanted one of error, warning, note, off",
    "[severity]\nOT2 = 'error'": "there is no rule 'OT2'",
    "severity = 'error'": "wanted a table",
    "[thresholds]\n'np.normalised' = {min = 1}": "'np.normalised': did you mean np.normalized?",
    "[thresholds]\n'np.z' = {low = 1}": "wanted min or max, found 'low'",
    "[thresholds]\n'np.z' = {}": "wanted a table such as",
    "[thresholds]\n'np.z' = {min = '1'}": "wanted a number, found '1'",
    "[thresholds]\n'np.z' = {min = nan}": "wanted a number, found nan",
    "[thresholds]\n'np.z' = {min = 2, max = 1}": "its min 2 is above its max 1",
    "[tolerances]\nvariance = -1": "wanted a number of at least 0",
    "[tolerances]\nvariance = true": "wanted a number, found True",
    "[ignore-layers]\nOT1 = ['a[b']": "has a bracket that is not closed",
    "[ignore-layers]\nOT1 = [3]": "wanted a pattern",
    "[ignore-layers]\nOT1 = 3": "wanted a list of patterns",
    "[ignore-layers]\nOT8 = ['a']": "there is no rule 'OT8'",
    "scale = 0": "wanted a number above 0",
    "scale = 'local'": "wanted a number above 0",
    "p = -1": "wanted a number above 0",
    "p = -inf": "wanted a number above 0, found '-inf'",
    "p = 1e999": "wanted a number, found inf",
    "scale = inf": "wanted a number above 0, found 'inf'",
    "[thresholds]\n'np.z' = {max = inf}": "wanted a number, found 'inf'",
    "seed = 1.5": "wanted a whole number",
    "seed = true": "wanted a whole number",
    "count-fixed = 1": "wanted true or false",
    "conv = 'flat'": "did you mean flattened?",
    "[tolerances]\nvariance = 1" + "0" * 400: "wanted a number, found 1000",
    "[thresholds]\n'np.z' = {min = 1e999}": "wanted a number, found inf",
    "scale = 1" + "0" * 400: "wanted a number, found 1000",
    "[limits]\nnode = 1": "limits: wanted one of file, structure, nodes, ",
    "[limits]\nnodes = 0.5": "limits: nodes: wanted a whole number of at least 0, found 0.5",
    "limits = 3": "limits: wanted a mapping, found 3",
    "baseline = '\\u0000'".replace("'", '"'): "wanted a string",
    "seed = " + "9" * 5000: "this is not TOML: a number has too many digits",
    "a = " + "[" * 9999: "this is not TOML: it is nested too deeply",
    "a" + ".a" * 1001 + " = 1": "this is not TOML: a line has more than 1000 dots",
    "#" * 2**18 + "\n": "cannot be read: it has 262,145 bytes, where at most 262,144 are read",
    "= 3": "this is not TOML",
    "a = [": "this is not TOML",
}


@pytest.mark.parametrize("text", WRONG)
def test_what_makes_no_sense(tmp_path: Path, text: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(UsageError) as caught:
        read_config(path, OPTIONS)
    assert str(caught.value).startswith(f"{path}: ")
    assert WRONG[text] in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        read_config(tmp_path / "none.toml", OPTIONS)


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    path = tmp_path / "onnxtop.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="not TOML"):
        read_config(path, OPTIONS)


def test_rules_by_name_code_and_beginning() -> None:
    assert check_rules(["OT101", "OT", "all-zero"]) == ("OT101", "OT", "all-zero")
    assert check_rules(["ot101", "ot1", "All-Zero"]) == ("OT101", "OT1", "all-zero")
