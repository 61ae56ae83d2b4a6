import importlib
import json
import re
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from onnxtop._version import __version__
from onnxtop.cli import EXIT_CODES, VERBS, app
from onnxtop.cli.diff import EXIT_CODES as DIFF_EXIT_CODES
from onnxtop.cli.options import DependentOption
from onnxtop.cli.trace import EXIT_CODES as TRACE_EXIT_CODES

HEAVY = ("numpy", "onnx", "onnxruntime", "scipy", "rich", "jinja2", "networkx", "ml_dtypes", "google")


def loaded_by(*arguments):
    code = (
        "import json, sys\n"
        f"sys.argv[1:] = {list(arguments)!r}\n"
        "from onnxtop.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(done.stderr.splitlines()[-1]))


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        [],
        ["nope"],
        ["report", "--help"],
        ["report", "x", "--p", "0"],
        ["help"],
        ["help", "check"],
    ],
)
def test_help_and_usage_errors_load_nothing_heavy(arguments):
    assert not loaded_by(*arguments) & set(HEAVY)


def test_the_first_help_loads_no_verb():
    assert not loaded_by("--help") & {module for module, _ in VERBS.values()}


def test_the_package_itself_loads_nothing_heavy():
    code = f"import sys, onnxtop; assert not sys.modules.keys() & set({HEAVY})"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_says_of_itself_what_the_table_says_of_it(verb):
    module, line = VERBS[verb]
    command = importlib.import_module(module).command
    assert command.name == verb
    assert command.help.splitlines()[0] == line
    assert command.epilog == {"diff": DIFF_EXIT_CODES, "trace": TRACE_EXIT_CODES}.get(verb, EXIT_CODES)


@pytest.mark.parametrize("verb", VERBS)
def test_every_option_is_explained(verb):
    command = app.get_command(click.Context(app), verb)
    for option in (param for param in command.params if isinstance(param, click.Option)):
        assert option.help is not None, option.name
        assert option.help.endswith("."), option.name


@pytest.mark.parametrize(
    ("verb", "option"),
    [
        (verb, option)
        for verb, (module, _) in VERBS.items()
        for option in importlib.import_module(module).command.params
        if isinstance(option, DependentOption)
    ],
    ids=lambda each: each if isinstance(each, str) else each.name,
)
def test_an_option_without_effect_is_refused(verb, option):
    value = option.type.choices[0] if isinstance(option.type, click.Choice) else "3"
    asked = [option.opts[-1], *([] if option.is_flag else [value])]
    models = ["model.onnx"] * (2 if verb == "diff" else 1)
    command = importlib.import_module(VERBS[verb][0]).command
    wanted = [each for each in command.params if isinstance(each, click.Option) and each.required]
    for each in wanted:
        asked += [each.opts[-1], "wanted"]
    result = CliRunner().invoke(app, [verb, *models, *asked])
    assert result.exit_code == 2
    assert f"{option.opts[-1]} has no effect without {' or '.join(option.needed.values())}:" in result.stderr


def test_these_options_have_an_effect_only_beside_others():
    """What a verb leaves unread without another option is declared so: a list that grows with the verbs."""
    dependent = {
        f"{verb} {option.opts[-1]}"
        for verb, (module, _) in VERBS.items()
        for option in importlib.import_module(module).command.params
        if isinstance(option, DependentOption)
    }
    assert dependent >= {
        *("report --minima", "check --compare", "check --draws", "diff --draws"),
        *("probe --surface-points", "trace --until-stop", "trace --interval"),
        *("loss-barcode --start", "loss-barcode --optimiser", "loss-barcode --epochs"),
    }


def test_version():
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.stdout) == (0, f"onnxtop, version {__version__}\n")


def test_without_arguments_there_is_help():
    result = CliRunner().invoke(app, [])
    assert result.exit_code == 2
    assert "Verbs:" in result.stderr
    assert "130  interrupted" in result.stderr


def test_an_unknown_verb_is_a_usage_error():
    result = CliRunner().invoke(app, ["\x1b[31mrepot"])
    assert result.exit_code == 2
    assert "onnxtop: error: No such command" in result.stderr
    assert "\x1b" not in result.stderr


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("repot", "report"),
        ("Check", "check"),
        ("lossbarcode", "loss-barcode"),
        ("dif", "diff"),
        ("hlep", "help"),
    ],
)
@pytest.mark.parametrize("before", [[], ["help"]])
def test_a_mistyped_verb_is_told_with_the_nearest(before, typed, meant):
    result = CliRunner().invoke(app, [*before, typed])
    assert result.exit_code == 2
    assert f"No such command {typed!r}: did you mean {meant}?" in result.stderr


def test_a_verb_like_none_is_told_with_all():
    result = CliRunner().invoke(app, ["zzzzzz"])
    assert all(verb in result.stderr for verb in VERBS)


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [(["check", "--slect", "OT1"], "--select"), (["diff", "a", "b", "--tolerence", "1"], "--tolerance")],
)
def test_a_mistyped_option_is_told_with_the_nearest(arguments, meant):
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert meant in result.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["diff", "a.onnx"], "Missing argument 'NEW'; see onnxtop diff --help"),
        (["rules", "--all"], "No such option:? '?--all'?; see onnxtop rules --help"),
        (["check", "a.onnx", "-j", "0"], "see onnxtop check --help"),
        (["repot"], "see onnxtop --help"),
    ],
)
def test_an_error_of_usage_is_one_line(arguments, told):
    result = CliRunner().invoke(app, arguments, prog_name="onnxtop")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("onnxtop: error: ")
    assert re.search(f"{told}\n$", result.stderr)
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_a_verb_is_what_the_verb_says(verb):
    asked = CliRunner().invoke(app, ["help", verb], prog_name="onnxtop")
    told = CliRunner().invoke(app, [verb, "--help"], prog_name="onnxtop")
    assert (asked.exit_code, asked.stdout) == (0, told.stdout)


def test_help_alone_is_that_of_the_tool():
    asked = CliRunner().invoke(app, ["help"], prog_name="onnxtop")
    assert (asked.exit_code, asked.stdout) == (
        0,
        CliRunner().invoke(app, ["--help"], prog_name="onnxtop").stdout,
    )


def test_python_m_onnxtop():
    done = subprocess.run(
        [sys.executable, "-m", "onnxtop", "--version"], capture_output=True, text=True, check=True
    )
    assert __version__ in done.stdout
