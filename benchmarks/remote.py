"""Models at an address: what is fetched of them.

Bytes that a web server on loopback sends of the ResNet-18-sized file.
"""

from pathlib import Path

from benchmarks._measuring import Figure, onnxtop, process
from benchmarks._models import model
from benchmarks._rows import row

NAME = "resnet18.onnx"
NEEDS = ("aiohttp", "fsspec")


def sent(folder: Path, verb: str) -> Figure:
    """Return the share of a file that is sent, in percent."""
    from tests.web import web

    size = model(folder, NAME).stat().st_size
    with web(folder) as server:
        process(onnxtop(verb, "-f", "json", f"{server.address}/{NAME}"))
        count = server.bytes_of(NAME)
    return Figure(100 * count / size, f"{count / 1e6:.3g} of {size / 1e6:.3g} MB")


row(
    "remote-outline", "sent for `onnxtop layers`, share of the file", "%",
    at_most=10, needs=NEEDS, arguments={"verb": "layers"},
)(sent)  # fmt: skip
row(
    "remote-report", "sent for `onnxtop report`, share of the file", "%",
    at_most=100, needs=NEEDS, arguments={"verb": "report"},
)(sent)  # fmt: skip
