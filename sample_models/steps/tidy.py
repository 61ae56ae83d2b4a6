"""Take the machine out of an exported model: no path of ours or of site-packages stays in the file.

Exporters write stack traces into the metadata of nodes (PyTorch's default exporter) or into doc strings
(its older one). A frame inside this folder stays, as `sample_models/steps/networks.py` with its line; all
other frames with an absolute path go. Whatever else the exporter wrote is left as it is.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import onnx
from google.protobuf.message import Message

ROOT = Path(__file__).resolve().parents[1]
HERE = "sample_models/"
FORBIDDEN = re.compile(
    rb"site-packages|dist-packages|/(?:home|mnt|opt|root|tmp|Users|usr|var|work)/|[A-Z]:\\+Users"
)

# '  File "/where/networks.py", line 25, in forward' and the line of code under it.
FRAME = re.compile(r'^ *File "(?P<path>/[^"]+)", line \d+, in .*\n?(?: {4,}(?! *File ).*\n?)*', re.MULTILINE)
# '/where/networks.py(25): forward'.
SHORT_FRAME = re.compile(r"^(?P<path>/.*)\(\d+\): .*\n?", re.MULTILINE)


def relative(match: re.Match[str]) -> str:
    """Give the frame with a relative path, or nothing if its file is not one of ours."""
    path = Path(match["path"])
    if not path.is_relative_to(ROOT):
        return ""
    return match[0].replace(match["path"], HERE + path.relative_to(ROOT).as_posix())


def without_machine(text: str) -> str:
    """Make our frames in a text relative and drop the others; keep any other text."""
    return SHORT_FRAME.sub(relative, FRAME.sub(relative, text))


def messages(message: Message) -> Iterator[Message]:
    """Walk the message and all that are in it."""
    yield message
    for field, value in message.ListFields():
        if field.message_type is not None:
            for part in value if not isinstance(value, Message) else (value,):
                yield from messages(part)


def tidy(model: onnx.ModelProto) -> onnx.ModelProto:
    """Clean the model in place and give it back."""
    for message in messages(model):
        if getattr(message, "doc_string", ""):
            message.doc_string = without_machine(message.doc_string)
        if isinstance(message, onnx.StringStringEntryProto):
            message.value = without_machine(message.value)
    return model


def save(model: onnx.ModelProto, path: Path) -> None:
    """Tidy, write and check a model; refuse to write one that still names a place on this machine.

    External data must lie beside the path already: the check looks it up there.
    """
    data = tidy(model).SerializeToString(deterministic=True)
    if found := FORBIDDEN.search(data):
        raise ValueError(f"{path.name} still holds {data[found.start() - 40 : found.end() + 40]!r}")
    path.write_bytes(data)
    onnx.checker.check_model(path)
