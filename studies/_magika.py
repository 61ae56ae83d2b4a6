"""A public model and files to try it on: what magika calls each of them, and what their suffix says.

The model comes in the Python package ``magika``: it tells 214 types of files by their first and last bytes.
The files are those of three pinned source archives. Nothing of any package is run by us.
"""

import hashlib
import json
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

MODEL = "magika==1.0.3"
SHA256 = "fe2d2eb49c5f88a9e0a6c048e15d6ffdf86235519c2afc535044de433169ec8c"
FILES = ("docutils==0.21.2", "meson==1.9.1", "pygments==2.19.2")
"""Source archives with files of many types."""
OF_A_TYPE = 10
"""So many files at most, so that no type decides alone."""
SMALLEST = 200
"""Bytes; below that a suffix says more than the content can."""
EDGE, READ, NO_BYTE = 1024, 4096, 256
"""What the model sees of a file's beginning and of its end, of how many bytes, and what fills short ones."""


def fetch(folder: Path) -> str:
    """Fetch the model and the files with pip's own client; return what was done.

    Raises
    ------
    RuntimeError
        pip fails, or gives something else.
    """
    with tempfile.TemporaryDirectory() as temporary:
        # of one platform, so that it is the same file everywhere
        pip(temporary, "--only-binary", ":all:", "--platform", "manylinux_2_28_x86_64", MODEL)
        for package in FILES:
            pip(temporary, "--no-binary", package.partition("=")[0], package)
        (wheel,) = Path(temporary).glob("*.whl")
        model, suffixes, types = opened(wheel)
        if hashlib.sha256(model).hexdigest() != SHA256:
            raise RuntimeError(f"{MODEL}: wanted the model whose SHA-256 begins with {SHA256[:12]}")
        archives = sorted(Path(temporary).glob("*.tar.gz"))
        x, labels = samples(archives, suffixes, types)
    folder.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(folder / "magika.npz", model=np.frombuffer(model, np.uint8), x=x, labels=labels)
    return f"fetched {MODEL} and {len(labels)} files of {len(set(labels.tolist()))} types"


def pip(folder: str, *asked: str) -> None:
    """Download a package."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, *asked]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    if done.returncode:
        raise RuntimeError(f"pip download {asked[-1]}: {' '.join(done.stderr.split())[-300:]}")


def opened(wheel: Path) -> tuple[bytes, dict[str, str], list[str]]:
    """Return the model, the types of files by suffixes that mean one, and the model's types in order."""
    with zipfile.ZipFile(wheel) as members:
        known = json.loads(members.read("magika/config/content_types_kb.min.json"))
        folder = "magika/models/standard_v3_3"
        types = json.loads(members.read(f"{folder}/config.min.json"))["target_labels_space"]
        model = members.read(f"{folder}/model.onnx")
    return model, meanings(known, types), types


def meanings(known: Mapping[str, Any], types: Sequence[str]) -> dict[str, str]:
    """Return what suffixes mean, without those that mean several types or one that the model has not."""
    found = defaultdict(list)
    for name, told in known.items():
        for suffix in told["extensions"]:
            found[suffix].append(name)
    return {suffix: names[0] for suffix, names in found.items() if len(names) == 1 and names[0] in types}


def samples(
    archives: Sequence[Path], suffixes: Mapping[str, str], types: Sequence[str]
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Return files as the model takes them, and their types by suffix, in an order that is drawn once."""
    rng = np.random.default_rng(0)
    held = defaultdict(list)
    for archive in archives:
        for suffix, content in files(archive):
            if suffix in suffixes and len(content) >= SMALLEST:
                held[suffixes[suffix]].append(content)
    drawn = [
        (features(contents[place]), types.index(name))
        for name, contents in sorted(held.items())
        for place in rng.permutation(len(contents))[:OF_A_TYPE]
    ]
    order = rng.permutation(len(drawn))
    x = np.array([drawn[place][0] for place in order], np.int32)
    return x, np.array([drawn[place][1] for place in order], np.int64)


def files(archive: Path) -> Iterator[tuple[str, bytes]]:
    """Yield suffix and content of files, by their names; of Pygments those that are examples."""
    with tarfile.open(archive) as members:
        for member in sorted(members, key=lambda each: each.name):
            name = member.name.rpartition("/")[2]
            if member.isfile() and ("pygments-" not in member.name or "/examplefiles/" in member.name):
                stream = members.extractfile(member)
                assert stream is not None, "a file, not a folder"
                yield name.rpartition(".")[2].lower(), stream.read()


def features(content: bytes) -> list[int]:
    """Return what the model sees of a file, as the package itself does it."""
    first, last = content[:READ].lstrip()[:EDGE], content[-READ:].rstrip()[-EDGE:]
    filled = [NO_BYTE] * (EDGE - len(first)), [NO_BYTE] * (EDGE - len(last))
    return [*first, *filled[0], *filled[1], *last]
