"""Addresses of models that lie elsewhere: which texts are such, their names, what lies beside."""

import re
from pathlib import PurePosixPath
from urllib.parse import quote, unquote, urlsplit, urlunsplit

SCHEMES = ("https", "http", "s3", "hf", "gs")
"""How an address may begin, before ``://``."""

STDIN = "-"
"""What stands for standard input in the place of a file, as everywhere."""

WEB = ("https", "http")
"""Those of the web."""

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]+)://", re.IGNORECASE)


def scheme_of(text: str) -> str | None:
    """Return how a text begins that looks like an address, in small letters; None for a path.

    >>> scheme_of("HTTPS://example.org/a.onnx"), scheme_of("C:/a.onnx")
    ('https', None)
    """
    begun = _SCHEME.match(text)
    return begun[1].lower() if begun else None


def is_address(text: str) -> bool:
    """Tell whether a text is the address of a model, and no path."""
    return scheme_of(text) in SCHEMES


def is_elsewhere(text: str) -> bool:
    """Tell whether a text is an address, or stands for standard input, and is no path."""
    return text == STDIN or is_address(text)


def called(text: str) -> str:
    """Return what is shown of an address: no user, password, nor what stands behind ``?``, often a key.

    Standard input has a name; what is no address of the web is shown as it is.

    >>> called("https://user:secret@example.org/a.onnx?signature=0")
    'https://example.org/a.onnx'
    """
    if scheme_of(text) not in WEB:
        return "<stdin>" if text == STDIN else text
    parts = urlsplit(text)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def file_name(address: str) -> str:
    """Return the name of the file at an address, or ``model.onnx`` where that is none that a file may have.

    >>> file_name("s3://bucket/a.onnx"), file_name("https://example.org/%2e%2e")
    ('a.onnx', 'model.onnx')
    """
    name = _path(address).rpartition("/")[2]
    plain = name not in ("", ".", "..") and not re.search(r'[\x00-\x1f/\\:*?"<>|]', name)
    return name if plain and len(name.encode(errors="replace")) < 200 else "model.onnx"


def beside(address: str, location: PurePosixPath) -> str:
    """Return the address of a file by its way from the folder of another.

    >>> beside("https://example.org/m/a.onnx?download=1", PurePosixPath("deep/w #1.data"))
    'https://example.org/m/deep/w%20%231.data'
    """
    if scheme_of(address) not in WEB:
        return f"{address.rpartition('/')[0]}/{location}"
    parts = urlsplit(address)
    path = f"{parts.path.rpartition('/')[0]}/{quote(str(location))}"
    return urlunsplit((parts.scheme, parts.netloc, path, "", ""))


def _path(address: str) -> str:
    return unquote(urlsplit(address).path) if scheme_of(address) in WEB else address
