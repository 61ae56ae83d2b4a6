"""What a file is that was taken for another: one table of formats by their first bytes.

It loads nothing: lists of names and data are looked at by it too.
"""

import re
from dataclasses import dataclass

HEAD = 512
"""So many first bytes of a file tell what it is."""


@dataclass(frozen=True)
class Kind:
    """A format: what it is called, what leads from it to a model, and the form of its first bytes."""

    found: str
    advice: str
    form: "re.Pattern[bytes]"


def _kind(found: str, advice: str, *forms: bytes) -> Kind:
    return Kind(found, advice, re.compile(b"|".join(forms), re.DOTALL))


def _text(found: str, advice: str, *forms: bytes) -> Kind:
    """Return a kind that begins with words, behind blanks, in whatever letters."""
    return _kind(found, advice, *(rb"(?i:(?:\xef\xbb\xbf)?\s*(?:%b))" % form for form in forms))


_EXPORT = "export the model to ONNX"
_ITSELF = "give the .onnx file itself"
_DOWNLOAD = "the download went wrong: get the file itself"
_CONVERTED = "give the .onnx file that it was converted from, or export one"

_KINDS = (
    _text("a Git LFS pointer", "run 'git lfs pull' to get the model itself", rb"version https://git-lfs"),
    _text("an OpenVINO model (.xml)", _CONVERTED, rb"<(?:[?!].*<)?net\s"),
    _text("a web page", _DOWNLOAD, rb"<!doctype html", rb"<(?:[?!].*<)?(?:html|error)\b"),
    _text("an XML file", _ITSELF, rb"<\?xml", rb"<!doctype"),
    _kind("ONNX Runtime's own .ort format", "give the .onnx file it was made from", rb".{4}ORTM"),
    _kind("a TensorFlow Lite model", "convert it with tf2onnx", rb".{4}TFL3"),
    _kind("a zip archive (PyTorch, Keras and NumPy save such)", _EXPORT, rb"PK\x03\x04", rb"PK\x05\x06"),
    _kind("a Python pickle", _EXPORT, rb"\x80[\x02-\x05]"),
    _kind("an HDF5 file (Keras saves such)", _EXPORT, rb"\x89HDF"),
    _kind("weights without a graph (.safetensors)", _EXPORT, rb".{3}[\0-\x0f]\0{4}\{"),
    _kind("a model of llama.cpp (.gguf)", _CONVERTED, rb"GGUF"),
    _kind("an array of NumPy (.npy)", _ITSELF, rb"\x93NUMPY"),
    _kind("a gzip archive", "unpack it first", rb"\x1f\x8b"),
    _kind("a compressed archive", "unpack it first", rb"\xfd7zXZ\0", rb"7z\xbc\xaf\x27\x1c"),
    _kind("a tar archive", "unpack it first", rb".{257}ustar"),
    _kind("a picture", _ITSELF, rb"\x89PNG", rb"\xff\xd8\xff", rb"GIF8"),
)
"""The first that fits is told. A protocol buffer that holds a model begins with none of these."""

_WRITTEN = (
    _text("a model written out as text", "load it with onnx, save it as .onnx", rb"<?\s*ir_version\s*:"),
    _text("JSON", "an ONNX model is no text: give the .onnx file", rb"[{\[]"),
    _text("text", "an ONNX model is no text: give the .onnx file", rb""),
)
"""What may be text, if `is_text` says that it is."""

_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1f\x7f]")


def kind_of(head: bytes) -> Kind | None:
    """Return the format of a file by its first bytes, None if it is not told by these."""
    return next((kind for kind in _KINDS if kind.form.match(head)), None)


def kind_of_text(head: bytes) -> Kind | None:
    """Return the kind of text that a file begins with, None if it is none."""
    return next((kind for kind in _WRITTEN if kind.form.match(head)), None) if is_text(head) else None


def is_text(head: bytes) -> bool:
    """Tell whether a file begins with text; a character may be cut off at the end of what is seen."""
    if _CONTROL.search(head):
        return False
    try:
        head.decode()
    except UnicodeDecodeError as error:
        return error.start >= len(head) - 3
    return True
