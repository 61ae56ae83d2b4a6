"""What is promised of a run on a file that nobody trusts, and what of it a run broke.

A breach is a line that tells one defect from another: without numbers, addresses and paths of the machine.
"""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.fuzz import outputs
from tests.fuzz.runner import Ran

SECONDS = 10.0
"""Processor time of a run."""

MEMORY = 2**31
"""Bytes of memory of a run."""

LONGEST = 3000
"""Characters of a message."""

ENDS = {
    "report": {0, 3, 4},
    "layers": {0, 3, 4},
    "graph": {0, 3, 4},
    "trace": {0, 1, 2, 3, 4},
    "check": {0, 1, 3, 4},
    "diff": {0, 1, 3, 4},
    "probe": {0, 1, 2, 3, 4},
    "loss-barcode": {0, 2, 3, 4},
}
"""Exit codes by verb: 2 only where a model and other inputs may not fit each other."""

SCHEMAS = {"layers": "report", "check": "report"}
"""Verb to the one whose JSON it writes, if that is another."""

_FRAME = re.compile(r'File "[^"]*?/?(onnxtop/[^"]+)", line (\d+)(?:, in| in) (\S+)')
_FOUND = re.compile("nothing to analyse|no weight tensors|the loss is NaN")
"""What a line says that is no failure of the run."""

_RAISED = re.compile(
    r"^(?:onnxtop: error: .*internal error: )?(\w+(?:Error|Exception|Warning|Interrupt))\b", re.MULTILINE
)


def breaches(verb: str, ran: Ran, files: Sequence[Path], models: Sequence[Path]) -> list[str]:
    """Return what a run broke of the promise, nothing if it kept it.

    ``files`` are the outputs that were asked for, ``models`` are the files that were read.
    """
    broken = [
        *_ended(verb, ran),
        *_said(verb, ran),
        *_took(ran),
        *_touched(ran, files, models),
        *_wrote(verb, ran, files),
    ]
    return list(dict.fromkeys(broken))


def _place(text: str) -> str:
    """Return the innermost function of onnxtop in a traceback."""
    frames = _FRAME.findall(text)
    if not frames:
        return "an unknown place"
    # faulthandler begins with the innermost call, a traceback ends with it
    path, line, name = frames[0] if "most recent call first" in text else frames[-1]
    return f"{path}:{line} {name}"


def _ended(verb: str, ran: Ran) -> Iterator[str]:
    raised = _RAISED.findall(ran.err)
    if isinstance(ran.code, str):
        yield f"{ran.code} in {_place(ran.err)}"
    elif ran.code == 5:
        yield f"internal {raised[-1] if raised else 'error'} in {_place(ran.err)}"
    elif ran.code not in ENDS[verb]:
        yield f"exit code {ran.code}: {re.sub('[0-9]+', 'N', ran.err)[:80]}"


def _said(verb: str, ran: Ran) -> Iterator[str]:
    """Yield what is wrong with stderr: of a failure it has one line, of success none that says error.

    A series names every checkpoint that it could not read.
    """
    if isinstance(ran.code, str) or ran.code == 5:
        return
    lines = ran.err.splitlines()
    errors = [line for line in lines if line.startswith("onnxtop: error: ")]
    noise = [line for line in lines if not line.startswith("onnxtop: ")]
    if noise:
        yield f"noise: {re.sub(r'/[^ :]*/|0x[0-9a-f]+|[0-9]+', '#', noise[0])[:100]}"
    most = 2 if verb == "trace" else 1
    told = len(errors) if ran.code >= 2 else sum(not _FOUND.search(line) for line in errors)
    if not (1 <= told <= most if ran.code >= 2 else not told):
        yield f"{len(errors)} lines for exit code {ran.code}"
    if any(len(line) > LONGEST for line in lines):
        yield "a message that is too long"
    if any(outputs.ACTS.search(line) for line in lines):
        yield "a message with a character that acts"


def _took(ran: Ran) -> Iterator[str]:
    if ran.peak > MEMORY or "not enough memory" in ran.err:
        yield f"memory, exit code {ran.code}"
    if ran.seconds > SECONDS and ran.code != "hangs":
        yield f"slow, exit code {ran.code}"


def _touched(ran: Ran, files: Sequence[Path], models: Sequence[Path]) -> Iterator[str]:
    """Yield what was opened, written, started or asked for that nobody named."""
    content = b"".join(path.read_bytes() for path in models)
    folders = {path.parent for path in files}
    for event in ran.events:
        what, _, where = event.partition(" ")
        path = Path(where)
        if what == "writes" and path.parent in folders:
            continue
        if what in ("os.rename", "os.remove", "os.chmod", "os.link") and any(
            str(folder) in where for folder in folders
        ):
            continue
        if what == "reads" and (
            path in models or path.parent in folders or _may_be_read(path, models, content)
        ):
            continue
        yield re.sub(r"[0-9a-f]{12,}|[0-9]+", "#", event.replace(str(models[0].parent), "FOLDER"))[:120]


def _may_be_read(path: Path, models: Sequence[Path], content: bytes) -> bool:
    """Tell whether a file lies in the folder of a model, which names it or a link to it."""
    real = Path(os.path.realpath(path))
    folders = [model.parent for model in models if real.is_relative_to(model.parent.resolve())]
    links = {
        each.name for folder in folders for each in folder.iterdir() if os.path.realpath(each) == str(real)
    }
    return real.is_file() and any(name.encode() in content for name in links | {path.name} if folders)


def _wrote(verb: str, ran: Ran, files: Sequence[Path]) -> Iterator[str]:
    folders = {path.parent for path in files}
    stray = sorted(
        {path.name for folder in folders for path in folder.iterdir()} - {path.name for path in files}
    )
    if stray:
        yield f"stray files {re.sub('[0-9a-f]{6,}', '#', ' '.join(stray))}"
    for path in files if ran.code in (0, 1) else ():
        if not path.exists():
            yield f"no output {path.suffix}"
            continue
        try:
            outputs.check(path, SCHEMAS.get(verb, verb))
        except Exception as error:
            yield f"output {path.suffix}: {type(error).__name__}: {str(error)[:80]}"
