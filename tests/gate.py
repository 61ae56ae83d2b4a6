"""Ruined and harmless copies of models against the commands of the gate: which sees what.

Run as a script, this writes ``docs/gate.md``; a test makes each of its lines anew.
"""

import functools
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from click.testing import CliRunner
from onnx import ModelProto, numpy_helper
from onnxruntime import quantization

from onnxtop.cli import app
from onnxtop.reader.account import Role, account
from onnxtop.reader.constants import Constants
from onnxtop.reader.layers import find_layers
from onnxtop.reader.loading import load
from tests import harmless, ruins

ROOT = Path(__file__).resolve().parent.parent
SAMPLES = ROOT / "sample_models"
PAGE = ROOT / "docs" / "gate.md"

EACH = 3
"""Ruins of one kind that are tried on one model."""

COMMANDS: Mapping[str, tuple[str, ...]] = {
    "check": ("check", "NEW"),
    "check --run": ("check", "--run", "NEW"),
    "check --baseline JSON": ("check", "--baseline", "JSON", "NEW"),
    "check --baseline MODEL": ("check", "--baseline", "OLD", "NEW"),
    "diff": ("diff", "OLD", "NEW"),
    "diff --run": ("diff", "--run", "OLD", "NEW"),
}
"""Title of a column to its command; OLD and NEW stand for the models, JSON for the old one's baseline."""

Pair = tuple[ModelProto, ModelProto]


@dataclass(frozen=True)
class Row:
    """One kind of change, and pairs of models with it."""

    name: str
    pairs: Callable[[], Iterator[Pair]]


def sample(name: str) -> ModelProto:
    return onnx.load(SAMPLES / f"{name}.onnx")


@functools.cache
def models() -> Mapping[str, ModelProto]:
    """Return the healthy models: small ones of many operations, and a trained one."""
    return {**{name: ruins.small(name) for name in ruins.SOURCES}, "MLP": sample("mlp_torch_legacy")}


# Ruins

_KINDS = {
    Role.ANALYSED: "weights",
    Role.SKIPPED: "weights",
    Role.BIAS: "biases",
    Role.NORMALISATION: "normalisation parameters",
    Role.OTHER: "other constants",
}


def kinds_of_constants(model: ModelProto) -> dict[str, str]:
    """Return what each constant is to the network."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.onnx")
        onnx.save(model, path)
        read = load(str(path))
        constants = Constants(read)
        entries = account(read, constants, find_layers(read, constants)).entries
    return {
        entry.value.name: "scales and zero points" if entry.kind == "quantisation" else _KINDS[entry.role]
        for entry in entries
        if entry.role in _KINDS
    }


def _constants(kind: str, broken: bool) -> Callable[[ModelProto], Iterator[ruins.Ruin]]:
    def found(model: ModelProto) -> Iterator[ruins.Ruin]:
        kinds = kinds_of_constants(model)
        for told, ruin in ruins.constants(model):
            if kinds.get(told.split()[0]) == kind and told.endswith("not finite") is broken:
                yield told, ruin

    return found


def _told(
    change: Callable[[ModelProto], Iterator[ruins.Ruin]], words: str, wanted: bool = True
) -> Callable[[ModelProto], Iterator[ruins.Ruin]]:
    return lambda model: (each for each in change(model) if (words in each[0]) is wanted)


def _ruined(change: Callable[[ModelProto], Iterator[ruins.Ruin]]) -> Callable[[], Iterator[Pair]]:
    def pairs() -> Iterator[Pair]:
        for model in models().values():
            yield from ((model, new) for new in _that_differ(model, list(change(model))))

    return pairs


def _that_differ(model: ModelProto, ways: list[ruins.Ruin]) -> Iterator[ModelProto]:
    """Yield a few ruined copies, from all over the model, that do not give what the model gives."""
    before, count = ruins.outputs(model), 0
    assert before is not None
    for place in np.argsort(np.arange(len(ways)) * 0.618 % 1):
        new = ruins.ruined(model, ways[place][1])
        after = ruins.outputs(new)
        if after is None or ruins.differ(before, after):
            yield new
            count += 1
        if count == EACH:
            return


def _samples(*names: tuple[str, str]) -> Callable[[], Iterator[Pair]]:
    return lambda: ((sample(old), sample(new)) for old, new in names)


def _other_layer_of_the_shape() -> Iterator[Pair]:
    """Exchange two layers of one shape."""
    old = sample("transformer_torch_legacy")
    new = sample("transformer_torch_legacy")
    first, second = [t for t in new.graph.initializer if list(t.dims) == [32, 32]][:2]
    first.raw_data, second.raw_data = second.raw_data, first.raw_data
    yield old, new


def _codes_off(factor: float) -> Callable[[], Iterator[Pair]]:
    def pairs() -> Iterator[Pair]:
        for name in ("MLP", "attention"):
            old = harmless.with_codes(models()[name])
            new = harmless.with_codes(models()[name])
            step = next(t for t in new.graph.initializer if t.name.startswith("step_"))
            value = numpy_helper.to_array(step) * np.float32(factor)
            step.CopyFrom(numpy_helper.from_array(value.astype(np.float32), step.name))
            yield old, new

    return pairs


RUINS = (
    *(Row(f"NaN in {kind}", _ruined(_constants(kind, True))) for kind in dict.fromkeys(_KINDS.values())),
    Row("NaN in scales", _ruined(_constants("scales and zero points", True))),
    *(Row(f"{kind} changed", _ruined(_constants(kind, False))) for kind in dict.fromkeys(_KINDS.values())),
    Row("scales and zero points changed", _ruined(_constants("scales and zero points", False))),
    Row("another operation", _ruined(ruins.operations)),
    Row("another attribute", _ruined(ruins.attributes)),
    Row("an edge from elsewhere", _ruined(_told(ruins.edges, " takes "))),
    Row("operands swapped", _ruined(_told(ruins.edges, "swapped"))),
    Row("an operation left out", _ruined(_told(ruins.nodes, "left out"))),
    Row("an operation put in", _ruined(_told(ruins.nodes, " before "))),
    Row("inputs or outputs in another order", _ruined(ruins.ports)),
    Row("two layers exchanged", _other_layer_of_the_shape),
    Row("a scale of codes off by half", _codes_off(1.5)),
    Row("training cut short", _samples(*(("checkpoints/epoch_12", f"checkpoints/epoch_0{at}")
                                         for at in (1, 2, 4)))),
    Row("the checkpoint of another run", _samples(*(("minima/seed_1", f"minima/seed_{s}") for s in (2, 3)))),
    Row("never trained", _samples(("mlp_torch_dynamo", "mlp_untrained"))),
)  # fmt: skip


# Harmless changes


def _changed(change: harmless.Change, *names: str) -> Callable[[], Iterator[Pair]]:
    def pairs() -> Iterator[Pair]:
        for name in names or models():
            model = models()[name]
            new = change(model)
            if new.SerializeToString() != model.SerializeToString():
                yield model, new

    return pairs


def optimised(level: str) -> harmless.Change:
    """Return onnxruntime's own rewriting at one of its levels."""

    def changed(model: ModelProto) -> ModelProto:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 4
        options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, f"ORT_ENABLE_{level}")
        with tempfile.TemporaryDirectory() as folder:
            options.optimized_model_filepath = str(Path(folder, "optimised.onnx"))
            onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
            return onnx.load(options.optimized_model_filepath)

    return changed


def dynamically_quantised(model: ModelProto) -> ModelProto:
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, name) for name in ("float.onnx", "int8.onnx")]
        onnx.save(model, paths[0])
        quantization.quantize_dynamic(*paths, weight_type=quantization.QuantType.QInt8)
        return onnx.load(paths[1])


_HALVABLE = ("convolutional", "attention", "recurrent")

HARMLESS = (
    *(
        Row((change.__doc__ or change.__name__).split(".")[0].lower(), _changed(change))
        for change in (*harmless.SAME, *harmless.EQUIVALENT)
    ),
    Row("onnxruntime's basic optimisations", _changed(optimised("BASIC"))),
    Row("onnxruntime's extended optimisations", _changed(optimised("EXTENDED"))),
    Row(
        "the same network by another exporter",
        _samples(
            ("mlp_torch_legacy", "mlp_torch_dynamo"),
            ("mlp_torch_legacy", "mlp_tensorflow"),
            ("mlp_torch_legacy", "mlp_jax"),
            ("cnn_torch_legacy", "cnn_torch_dynamo"),
            ("cnn_tensorflow", "cnn_jax"),
            ("transformer_torch_legacy", "transformer_tensorflow"),
            ("lstm_torch_legacy", "lstm_torch_dynamo"),
        ),
    ),
    Row("BatchNormalization folded", _changed(harmless.with_folded_normalisation, "convolutional")),
    Row("float16", _changed(harmless.in_half_precision, *_HALVABLE)),
    Row("float16 inside", _changed(harmless.in_half_precision_inside, *_HALVABLE)),
    Row("weights in 8 bits", _changed(harmless.with_codes, "convolutional", "attention", "MLP")),
    Row("onnxruntime's dynamic quantisation", _changed(dynamically_quantised, "attention", "MLP")),
)


# Asking the commands


def counts(row: Row, titles: Iterable[str] = COMMANDS) -> list[int]:
    """Return how many pairs a row has, and how many of them each command does not let pass."""
    found = [0] * (1 + len(commands := [COMMANDS[title] for title in titles]))
    for old, new in row.pairs():
        found[0] += 1
        for place, code in enumerate(_codes(old, new, commands), start=1):
            found[place] += code != 0
    return found


def _codes(old: ModelProto, new: ModelProto, commands: Iterable[Sequence[str]]) -> Iterator[int]:
    with tempfile.TemporaryDirectory() as folder:
        places = {"OLD": "old.onnx", "NEW": "new.onnx", "JSON": "old.json"}
        paths = {word: str(Path(folder, name)) for word, name in places.items()}
        onnx.save(old, paths["OLD"])
        onnx.save(new, paths["NEW"])
        Path(paths["JSON"]).write_bytes(_baseline(old.SerializeToString(deterministic=True)))
        for command in commands:
            yield _code(*(paths.get(word, word) for word in command))


@functools.cache
def _baseline(model: bytes) -> bytes:
    """Return what is written of a model, of which there are many ruins."""
    with tempfile.TemporaryDirectory() as folder:
        path, written = Path(folder, "old.onnx"), Path(folder, "old.json")
        path.write_bytes(model)
        _code("check", "--write-baseline", str(written), str(path))
        return written.read_bytes()


def _code(*arguments: str) -> int:
    result = CliRunner(env={"ONNXTOP_CACHE": "off"}).invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code in (0, 1, 3, 4), (arguments, result.exit_code, result.output)
    return result.exit_code


def _numbered(place: int) -> list[int]:
    return counts((*RUINS, *HARMLESS)[place])


def table(rows: Sequence[Row], found: Iterable[list[int]]) -> list[str]:
    titles = ("", "models", *(f"`{title}`" for title in COMMANDS))
    return [
        f"| {' | '.join(titles)} |",
        f"| --- |{' --: |' * (len(titles) - 1)}",
        *(
            f"| {row.name} | {' | '.join(map(str, numbers))} |"
            for row, numbers in zip(rows, found, strict=True)
        ),
    ]


def page() -> str:
    """Write both tables, their rows on all cores."""
    with ProcessPoolExecutor() as workers:
        found = list(workers.map(_numbered, range(len(RUINS) + len(HARMLESS))))
    return "\n".join(
        [
            "# What the gate sees",
            "",
            "Made by `python -m tests.gate`. A number says how many of the models do not pass a command "
            "(its exit code is not 0). `JSON` is the baseline that `check --write-baseline` writes of the "
            "model as it was, `MODEL` that model itself.",
            "",
            "## Ruined models",
            "",
            "Copies of five small networks (convolutions and a normalisation, attention, branches and a "
            "loop, integer codes, an LSTM with an embedding) and of a trained perceptron, each ruined in one "
            f"place: at most {EACH} of each kind and network. onnxruntime gives other outputs for all of "
            "them, or refuses them. All of them should be seen by `diff`; without the model as it was, "
            "`check` can know only what is never right.",
            "",
            *table(RUINS, found[: len(RUINS)]),
            "",
            "## Harmless changes",
            "",
            "What exporters, converters and optimisers do to the same networks: outputs stay as they are, or "
            "are rounded. A number that is not 0 is a false alarm, or an UNPROVEN verdict.",
            "",
            *table(HARMLESS, found[len(RUINS) :]),
            "",
        ]
    )


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write(page())
