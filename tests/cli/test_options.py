import math
from dataclasses import replace

import pytest

from onnxtop.auditing.options import AuditOptions
from onnxtop.work.options import WorkOptions


def options(run, planted, models, *args):
    models("m.onnx")
    result = run("m.onnx", *args)
    assert result.exit_code == 0, result.stderr
    asked = planted.calls[0][1]
    assert asked.work.cache is None  # the user's own folder
    return replace(asked, work=WorkOptions())


def test_the_defaults_are_those_of_the_audit(run, planted, models):
    assert options(run, planted, models) == AuditOptions(diagrams=False)


def test_every_option_reaches_the_audit(run, planted, models, tmp_path):
    words = "--layers ^conv --convention tree --scale 2.5 --p inf --bias row --conv unrolled --seed 7"
    words += " --peepholes --count-fixed --skips cut --no-standardise --no-rescale --sortedness"
    words += " --details --from-input x --to-output y --to-output z"
    words += " --input-shape x=1,3,224,224 --input-shape a=b=5 --dim n=2 --dim m=3 --allow-external"
    assert options(run, planted, models, *words.split(), str(tmp_path)) == AuditOptions(
        diagrams=False,
        convention="tree",
        scale=2.5,
        p=math.inf,
        bias="row",
        conv="unrolled",
        layers="^conv",
        input_shapes={"x": (1, 3, 224, 224), "a=b": (5,)},
        dims={"n": 2, "m": 3},
        allow_external=(str(tmp_path),),
        peepholes=True,
        count_fixed=True,
        skips="cut",
        standardise=False,
        rescale=False,
        sortedness=True,
        details=True,
        inputs=("x",),
        outputs=("y", "z"),
        seed=7,
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--input-shape x=1,99999999999999999999", "wanted sizes of at most 18 digits, found 'x=1,9999"),
        ("--dim n=99999999999999999999", "wanted sizes of at most 18 digits"),
        (r"--layers fc\.(", r"'fc\.(' is not a regular expression"),
        ("--columns zeroes", "there is no column 'zeroes': did you mean zeros?"),
    ],
)
def test_what_is_said_of_a_value_is_true(run, models, words, message):
    models("m.onnx")
    assert message in run("m.onnx", *words.split(" ")).stderr


def test_sizes_with_zeros_before_them(run, planted, models):
    assert options(run, planted, models, "--dim", f"n={'0' * 30}7").dims == {"n": 7}


@pytest.mark.parametrize("scale", ["global", "layer"])
def test_scales_by_name(run, planted, models, scale):
    assert options(run, planted, models, "--scale", scale).scale == scale


@pytest.mark.parametrize(
    "words",
    [
        "--layers (",
        "--layers a{99999999999999999999}",
        "--convention leaf",
        "--scale 0",
        "--scale -1",
        "--scale nan",
        "--scale inf",
        "--scale big",
        "--p 0",
        "--p -2",
        "--p nan",
        "--p 1e400",
        "--p Infinity",
        "--p two",
        "--bias column",
        "--conv rolled",
        "--skips drop",
        "--seed -1",
        "--seed 1.5",
        "--input-shape x",
        "--input-shape =1",
        "--input-shape x=",
        "--input-shape x=1,,2",
        "--input-shape x=1,0",
        "--input-shape x=00",
        "--input-shape x=9999999999999999999",
        f"--input-shape x={'9' * 5000}",
        "--columns ",
        "--columns ,",
        "--columns convention",
        "--input-shape x=-1",
        "--input-shape x=1e3",
        "--input-shape x=\u0661",
        "--input-shape x=1 --input-shape x=2",
        "--dim n=1,2",
        "--dim n=0",
        "--allow-external gone",
        "--fail-on note",
        "-f yaml",
        "--nonsense",
    ],
)
def test_values_that_make_no_sense_are_refused_before_any_work(run, planted, models, words):
    models("m.onnx")
    result = run("m.onnx", *words.split(" "))
    assert result.exit_code == 2, result.output
    assert "onnxtop: error: " in result.stderr
    assert planted.calls == []
