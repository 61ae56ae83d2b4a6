"""Cases of the fuzzer, those that once failed, and the fuzzer itself: what it makes, and what it sees."""

import random
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import onnx
import pytest
from hypothesis import given, settings, strategies as st

from onnxtop.auditing.story import audit
from onnxtop.comparison.story import diff
from onnxtop.errors import NothingToAnalyseError
from tests.fuzz import outputs
from tests.fuzz.cases import CHECKED, FORMATS, Case, Place, case_of, run_case
from tests.fuzz.changes import BYTES, CHANGES, FIELDS, NothingThereError, broken, in_fields
from tests.fuzz.minimise import minimised
from tests.fuzz.odd import BLOCKS, WEIGHTS, odd_model
from tests.fuzz.promise import LONGEST, MEMORY, SECONDS, breaches
from tests.fuzz.runner import Ran, Runner
from tests.fuzz.wire import bytes_field, fields_of, message, number_field
from tests.models import check_consistent, mlp

SEED, CASES, TOGETHER = 17, 150, 50
FAILED = sorted(Path(__file__).with_name("cases").glob("*.onnx"))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    made = Place(tmp_path_factory.mktemp("fuzz") / "files")
    made.prepare()
    return made


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    with Runner(tmp_path_factory.mktemp("run")) as made:
        yield made


@pytest.mark.parametrize("first", range(0, CASES, TOGETHER))
def test_the_promise_is_kept(runner: Runner, place: Place, first: int) -> None:
    cases = {number: case_of(SEED, "all", number) for number in range(first, first + TOGETHER)}
    assert {case.verb for case in cases.values()} == set(CHECKED)
    told = {number: run_case(runner, place, case) for number, case in cases.items()}
    assert not {number: lines for number, lines in told.items() if lines}


def test_what_once_failed_does_not(runner: Runner, place: Place) -> None:
    told = {}
    for path in FAILED:
        verb, _, chance = path.stem.rpartition("-")
        told[path.name] = run_case(
            runner, place, Case(verb, path.read_bytes(), place.other.read_bytes(), (), int(chance))
        )
    assert len(told) > 50
    assert not {name: lines for name, lines in told.items() if lines}


# Odd models


@given(st.randoms(use_true_random=False))
@settings(max_examples=25)
def test_odd_models_are_valid_and_their_constants_add_up(rng: random.Random) -> None:
    model = odd_model(rng)
    onnx.checker.check_model(
        model, full_check=not model.graph.sparse_initializer
    )  # ONNX infers none of these
    try:
        report = audit(model)
    except NothingToAnalyseError:
        return
    check_consistent(report)


@given(st.randoms(use_true_random=False))
@settings(max_examples=8)
def test_an_odd_model_is_the_same_as_itself(rng: random.Random) -> None:
    model = odd_model(rng)
    try:
        assert diff(model, model).whole.verdict == "SAME"
    except NothingToAnalyseError:
        return


def test_every_block_and_every_form_of_a_weight_is_made() -> None:
    ops = {node.op_type for seed in range(150) for node in odd_model(random.Random(seed)).graph.node}
    assert {"If", "Loop", "Scan", "F0", "LSTM", "ConvTranspose", "MatMulNBits", "LinearRegressor"} <= ops
    assert {"SequenceAt", "OptionalGetElement", "ConstantOfShape", "DequantizeLinear", "Expand"} <= ops
    assert len(BLOCKS) + len(WEIGHTS) > 30


# Changes


@pytest.mark.parametrize(
    "change", dict.fromkeys(chain.from_iterable(CHANGES.values())), ids=lambda each: each.__name__
)
def test_every_change_changes_something(change) -> None:
    for seed in range(200):
        model = odd_model(random.Random(seed))
        before = model.SerializeToString(deterministic=True)
        try:
            change(model, random.Random(seed))
        except NothingThereError:
            continue
        if model.SerializeToString(deterministic=True) != before:
            return
    pytest.fail("nothing was changed")


@pytest.mark.parametrize("change", dict.fromkeys((*BYTES, in_fields)), ids=lambda each: each.__name__)
def test_every_change_of_bytes_changes_them(change) -> None:
    data = mlp(3, 2).SerializeToString()
    assert len({change(data, random.Random(seed)) for seed in range(20)} - {data}) > 5
    assert change(b"", random.Random(0)) is not None


def test_every_change_of_fields_leaves_a_message() -> None:
    for change in dict.fromkeys(FIELDS):
        fields = [number_field(1, 10), bytes_field(7, message([bytes_field(2, b"name")]))]
        change(fields, 1, random.Random(1))
        assert fields_of(message(fields)) == fields


def test_cases_come_again() -> None:
    assert [case_of(5, "all", number) for number in range(20)] == [
        case_of(5, "all", number) for number in range(20)
    ]
    assert len({case_of(5, "report", number).data for number in range(20)}) == 20
    assert broken(b"\x08\x01", random.Random(3)) == broken(b"\x08\x01", random.Random(3))


# Protobuf


def test_messages_are_read_and_written_as_protobuf_does() -> None:
    data = mlp(3, 2).SerializeToString()
    fields = fields_of(data)
    assert fields is not None
    assert message(fields) == data
    assert [field.number for field in fields] == [
        item.number for item, _ in onnx.ModelProto.FromString(data).ListFields()
    ]
    assert fields_of(data[:-1]) is None
    assert fields_of(b"\x80" * 11) is None
    assert number_field(1, -1).written == onnx.ModelProto(ir_version=-1).SerializeToString()


# Minimised files


def test_what_is_not_needed_leaves_a_file() -> None:
    model = mlp(3, 4, 2)
    model.graph.node[1].doc_string = "needle"
    least = onnx.ModelProto()
    least.graph.node.add().doc_string = "needle"
    found = minimised(
        model.SerializeToString(), lambda data: b"needle" in data and fields_of(data) is not None
    )
    assert found == least.SerializeToString()


def test_what_is_no_message_loses_its_ends() -> None:
    assert minimised(b"\xff" * 99 + b"needle" + b"\xff" * 50, lambda data: b"needle" in data) == b"needle"


def test_tries_end() -> None:
    tries = []
    minimised(mlp(3, 4, 2).SerializeToString(), lambda data: tries.append(data) is not None, tries=7)
    assert len(tries) == 7


# What is seen of a run


@pytest.mark.parametrize(
    ("ran", "seen"),
    [
        (Ran(0), ()),
        (Ran(3, err="onnxtop: error: m.onnx: wanted a model, found none\n"), ()),
        (Ran(4, err="onnxtop: error: nothing to analyse\n"), ()),
        (Ran(2, err="onnxtop: error: x\n"), ("exit code 2: onnxtop: error: x\n",)),
        (Ran(3), ("0 lines for exit code 3",)),
        (Ran(3, err="onnxtop: error: a\nonnxtop: error: b\n"), ("2 lines for exit code 3",)),
        (Ran(0, err="onnxtop: error: a\n"), ("1 lines for exit code 0",)),
        (Ran(0, err="/a/b.py:7: RuntimeWarning: overflow\n"), ("noise: #b.py:#: RuntimeWarning: overflow",)),
        (Ran(3, err=f"onnxtop: error: {'a' * LONGEST}\n"), ("a message that is too long",)),
        (Ran(3, err="onnxtop: error: \x1b[31m\n"), ("a message with a character that acts",)),
        (Ran(0, peak=MEMORY + 1), ("memory, exit code 0",)),
        (Ran(3, err="onnxtop: error: there is not enough memory\n"), ("memory, exit code 3",)),
        (Ran(0, seconds=SECONDS + 1), ("slow, exit code 0",)),
        (Ran("hangs", seconds=20), ("hangs in an unknown place",)),
        (
            Ran(
                "died: signal 11",
                err='Fatal\n\nmost recent call first:\n  File "/r/onnxtop/a.py", line 3 in f\n',
            ),
            ("died: signal 11 in onnxtop/a.py:3 f",),
        ),
        (
            Ran(5, err='Traceback:\n  File "/r/onnxtop/a.py", line 3, in f\nValueError: x\n'),
            ("internal ValueError in onnxtop/a.py:3 f",),
        ),
        (Ran(0, events=("reads /etc/passwd",)), ("reads /etc/passwd",)),
        (Ran(0, events=("reads FOLDER/unnamed.bin",)), ("reads FOLDER/unnamed.bin",)),
        (Ran(0, events=("reads FOLDER/named.bin", "reads FOLDER/model.onnx")), ()),
        (Ran(0, events=("writes FOLDER/named.bin",)), ("writes FOLDER/named.bin",)),
        (Ran(0, events=("reads FOLDER/pipe",)), ("reads FOLDER/pipe",)),
        (Ran(0, events=("socket.connect ('x',)",)), ("socket.connect ('x',)",)),
    ],
)
def test_what_breaks_the_promise_is_told(ran: Ran, seen: tuple[str, ...], tmp_path: Path) -> None:
    model = tmp_path / "model.onnx"
    model.write_bytes(b"named.bin pipe")
    (tmp_path / "named.bin").touch()
    (tmp_path / "pipe").symlink_to("/dev/zero")
    events = tuple(event.replace("FOLDER", str(tmp_path)) for event in ran.events)
    ran = Ran(ran.code, ran.seconds, ran.peak, ran.out, ran.err, events)
    assert tuple(breaches("report", ran, [], [model])) == seen


def test_outputs_are_looked_for(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").touch()
    folder = tmp_path / "outputs"
    folder.mkdir()
    (folder / "out.json").write_text("{")
    (folder / ".left.tmp").touch()
    files = [folder / "out.json", folder / "out.csv"]
    stray, json, missing = breaches("report", Ran(0), files, [tmp_path / "model.onnx"])
    assert stray == "stray files .left.tmp"
    assert json.startswith("output .json: JSONDecodeError")
    assert missing == "no output .csv"


BAD = {
    ".txt": "red \x1b[31m",
    ".json": '{"schema_version": NaN}',
    ".jsonl": "{}\n{",
    ".csv": 'name,value\n"=1+1",2\n',
    ".md": "| a | b |\n| - | - |\n| 1 | 2 | 3 |\n",
    ".html": "<html><script>a</script><script>b</script></html>",
    ".xml": "<a><b></a>",
    ".sarif": '{"runs": [{"results": [{"level": "no"}]}]}',
    ".github": "::set-output name=a::b",
    ".dot": "digraph { a -> b [onclick=`x`] }",
    ".mmd": 'graph LR\n  a["x"] --> evil(((b)))',
    ".graphml": "<a>&b;</a>",
    ".svg": "<svg><script/></svg>",
    ".npz": "PK",
}


@pytest.mark.parametrize("suffix", BAD)
def test_bad_outputs_are_refused(suffix: str, tmp_path: Path) -> None:
    assert {each for suffixes in FORMATS.values() for each in suffixes} <= set(BAD)
    path = tmp_path / f"out{suffix}"
    path.write_text(BAD[suffix])
    with pytest.raises((AssertionError, ValueError, OSError, SyntaxError, KeyError)):
        outputs.check(path, "report")


@pytest.mark.parametrize(
    "text", ["<img src='x'>", "<p onclick='x'></p>", "<a href='//e.invalid'></a>", "<b>", "</b>"]
)
def test_pages_that_act_are_refused(text: str) -> None:
    with pytest.raises(AssertionError):
        outputs.html(text)


# The process


def child(folder: Path, body: str) -> Runner:
    """Return a runner of a process that does something else with its first command line."""
    script = folder / "child.py"
    script.write_text(f"import os, sys, time\nsys.stdin.readline()\n{body}")
    for name in ("stdout", "stderr", "log"):
        (folder / name).touch()
    return Runner(folder, patience=0.1, loading=0, child=script)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("os.abort()", "died: signal 6"),
        ("os._exit(9)", "died: exit code 9"),
        ("while True: pass", "hangs"),
        ('for _ in range(2): print(\'{"code": 3, "seconds": 1.5, "peak": 7}\', flush=True)', 3),
    ],
)
def test_whatever_becomes_of_the_process(tmp_path: Path, body: str, code: str | int) -> None:
    with child(tmp_path, body) as runner:
        assert runner.run(["report", "x"]).code == code
        assert runner.run(["report", "x"]).code == code  # it is started anew


READ_IN_C = """
import ctypes
libc = ctypes.CDLL(None)
libc.fopen(NAME, b"r")
print('{"code": 3}', flush=True)
"""


@pytest.mark.parametrize("name", ["weights.bin", "sub/deep.bin", "OUTSIDE"])
def test_what_a_library_reads_is_seen(tmp_path: Path, place: Place, name: str) -> None:
    path = str(place.outside) if name == "OUTSIDE" else name
    with child(tmp_path, READ_IN_C.replace("NAME", repr(path.encode()))) as runner:
        case = Case("layers", mlp(3, 2).SerializeToString(), b"", [], 0)
        assert f"opens {Path(path).name}" in run_case(runner, place, case)
        assert runner.folder.joinpath("log").read_text() == ""


def test_what_is_left_behind_is_seen(tmp_path: Path, place: Place) -> None:
    with child(tmp_path, "open('left', 'w')\nos._exit(1)") as runner:
        case = Case("layers", mlp(3, 2).SerializeToString(), b"", [], 0)
        assert "leaves left" in run_case(runner, place, case)
