"""OT7: what becomes of a model when it is run; silent unless that was asked for."""

from collections.abc import Iterator

from onnxtop.results.report import Report
from onnxtop.results.run import ModelRun, RunFailure, RunInput, RunOutput
from onnxtop.results.words import of_each
from onnxtop.rules import needs
from onnxtop.rules.rule import Found, Policy, rule

_SHOWN = 3


def _failure(report: Report, *kinds: str) -> Iterator[RunFailure]:
    if report.run and report.run.failure and report.run.failure.kind in kinds:
        yield report.run.failure


def _outputs(report: Report) -> Iterator[tuple[ModelRun, RunOutput]]:
    if report.run:
        yield from ((report.run, output) for output in report.run.outputs)


@rule(
    "OT701",
    "error",
    needs=(needs.run,),
    what="The model is refused by onnxruntime.",
    why="Nobody can run it there: an operation, a type or an attribute is not what its specification says, "
    "or not known to the processor.",
    how="The file is opened by onnxruntime, as installed beside onnxtop, in a process of its own.",
    false_alarms="Models for another runtime: custom operations, operations that only other devices have, an "
    "opset newer than the installed onnxruntime.",
    source="onnxruntime",
)
def refused_by_onnxruntime(report: Report, policy: Policy) -> Found:
    for failure in _failure(report, "refused"):
        yield None, failure.reason


@rule(
    "OT702",
    "error",
    needs=(needs.run,),
    what="The model opens, and fails when it is run.",
    why="What it declares is not what it takes, or an operation is given what it cannot work on.",
    how="Run on the samples of --data, or on made inputs where the model says all about them: floats, and "
    "every size but that of the batch.",
    false_alarms="Data that is not meant for the model.",
    source="onnxruntime",
)
def fails_when_run(report: Report, policy: Policy) -> Found:
    for failure in _failure(report, "failed"):
        yield None, failure.reason


@rule(
    "OT703",
    "error",
    needs=(needs.run,),
    what="The model ends its process, or takes more time or memory than it may.",
    why="A service that loads it dies, or hangs, and everything beside it does too.",
    how="A process of its own is ended by a signal, or at --time-limit or --memory-limit.",
    false_alarms="Large models: raise the limits. A machine that is busy, or out of memory.",
)
def ends_its_process(report: Report, policy: Policy) -> Found:
    for failure in _failure(report, "died", "time", "memory"):
        yield None, failure.reason


@rule(
    "OT704",
    "error",
    needs=(needs.run,),
    what="An output is NaN or infinite in every run.",
    why="The model gives no answer, whatever it is given.",
    how="NaN or positive infinity in each run, at least one of which is on inputs from 0 to 1. Negative "
    "infinity alone does not count: masks are written so.",
    false_alarms="Models that want inputs of another kind than --run makes: give --data.",
    source="IEEE 754",
)
def output_not_finite(report: Report, policy: Policy) -> Found:
    for run, output in _outputs(report):
        if run.runs and output.unsound == run.runs and not output.random:
            yield None, f"output {output.name} is not finite in all of {run.runs} runs: {_odd(output)}"


@rule(
    "OT705",
    "note",
    needs=(needs.run,),
    what="An output is NaN or infinite in some runs.",
    why="Some inputs give no answer: a logarithm or a root of what is negative, a division by nothing, a "
    "float16 that is too small for them.",
    how="NaN or positive infinity in some runs and not in all.",
    false_alarms="Wide or negative inputs that the model is never given: --data tells.",
    source="IEEE 754",
)
def output_sometimes_not_finite(report: Report, policy: Policy) -> Found:
    for run, output in _outputs(report):
        if 0 < output.unsound < run.runs and not output.random:
            yield (
                None,
                f"output {output.name} is not finite in {output.unsound} of {run.runs} runs: {_odd(output)}",
            )


def _odd(output: RunOutput) -> str:
    return of_each(((output.nan, "NaN"), (output.infinite, "infinite")))


@rule(
    "OT706",
    "error",
    needs=(needs.run,),
    what="An output of floats is the same for every input.",
    why="The network is dead: nothing of what goes in comes out.",
    how="All runs, or all samples of --data, give the same numbers to 1e-6 of each, though the graph leads "
    "from an input's values to the output.",
    false_alarms="Outputs that were cut to a range and lie at its end for all made inputs: --data tells.",
)
def constant_output(report: Report, policy: Policy) -> Found:
    for run, output in _outputs(report):
        if output.constant and output.follows and "float" in output.type:
            yield (
                None,
                f"output {output.name} is the same in all runs, whatever the inputs are ({run.source})",
            )


@rule(
    "OT707",
    "warning",
    needs=(needs.run,),
    what="No output changes with an input that leads to one.",
    why="The input is connected and makes no difference: weights of zero, or dead units, cut it off.",
    how="The input is drawn again (or the samples of --data are moved on), the others stay: every output it "
    "leads to is the same bit by bit, and one of them is of floats.",
    false_alarms="Switches and lengths that made inputs do not reach the effect of.",
)
def ignored_input(report: Report, policy: Policy) -> Found:
    run = report.run
    for given in run.inputs if run else ():
        assert run is not None
        deaf = [each for each in run.outputs if given.name in each.ignores]
        if deaf and _is_ignored(given, run) and any("float" in each.type for each in deaf):
            names = ", ".join(each.name for each in deaf[:_SHOWN]) + (", ..." if len(deaf) > _SHOWN else "")
            yield None, f"input {given.name} changes nothing of what it leads to: {names}"


def _is_ignored(given: RunInput, run: ModelRun) -> bool:
    """Tell whether no output that the input leads to changes, and none is constant or random anyway."""
    if given.guessed:
        return False
    led = [each for each in run.outputs if given.name in each.follows]
    return all(given.name in each.ignores and not (each.random or each.constant) for each in led)


@rule(
    "OT708",
    "note",
    needs=(needs.run,),
    what="The same inputs give other outputs each time.",
    why="Nothing is judged of such an output, and no test of the model is repeatable.",
    how="The first inputs are run twice.",
    false_alarms="Models that draw samples on purpose.",
)
def random_output(report: Report, policy: Policy) -> Found:
    for run, output in _outputs(report):
        if output.random:
            why = f"; it may be {', '.join(run.chance)}" if run.chance else ""
            yield None, f"output {output.name} is another each time it is run on the same inputs{why}"


@rule(
    "OT709",
    "note",
    needs=(needs.run,),
    what="The model could not be run on made inputs.",
    why="What goes in was guessed where the model leaves it open, so that this says nothing of the model.",
    how="Several sizes are tried for what is open, and whole numbers that fit what they pick from.",
    false_alarms="None: give --data, --dim or --input-shape.",
)
def cannot_be_run(report: Report, policy: Policy) -> Found:
    for failure in _failure(report, "inputs"):
        yield None, f"it was not run: {failure.reason}; give --data, or sizes with --dim or --input-shape"
