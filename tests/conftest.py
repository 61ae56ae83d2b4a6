"""What all tests share: real models, frameworks and a browser are options, never skips."""

import importlib.util
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from onnxtop.results.report import Report

for _library in ("OMP", "OPENBLAS", "MKL"):  # as the command line does, and before anything loads NumPy
    os.environ.setdefault(f"{_library}_NUM_THREADS", "1")

os.environ.setdefault("ONNXTOP_APART", "off")  # tests look into the work, which else another process does
os.environ["ONNXTOP_CACHE"] = "off"  # no test writes into the user's cache, or is answered from it

settings.register_profile("repeatable", derandomize=True, database=None, deadline=None)
settings.load_profile("repeatable")  # a run tries what every other run tries

SAMPLES = Path(__file__).parent.parent / "sample_models"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--corpus",
        type=Path,
        default=None,
        metavar="DIR",
        help="folder of real models: run the tests marked corpus on every *.onnx below it",
    )
    parser.addoption(
        "--integration",
        default=None,
        metavar="NAME",
        help="framework or logger that is installed: run the tests that are marked with it",
    )
    parser.addoption(
        "--chromium",
        default=None,
        metavar="PROGRAM",
        help="Chromium that is installed: run the tests marked browser, and no others",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "corpus: runs over real models; needs --corpus=DIR")
    config.addinivalue_line("markers", "integration: runs inside a framework; needs --integration=NAME")
    config.addinivalue_line("markers", "browser: drives a browser; needs --chromium=PROGRAM")
    if (program := config.getoption("--chromium")) is not None:
        check_browser(program)


def check_browser(program: str) -> None:
    """Refuse a browser that is not there, and one that nothing can drive."""
    if shutil.which(program) is None:
        raise pytest.UsageError(
            f"--chromium: wanted a browser, found no program {program}: apt-get install chromium"
        )
    if importlib.util.find_spec("playwright") is None:
        raise pytest.UsageError(
            "--chromium: wanted Playwright, found none: pip install -r tests/browser/requirements.txt"
        )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "corpus_model" in metafunc.fixturenames:
        folder = metafunc.config.getoption("--corpus")
        paths = sorted(folder.rglob("*.onnx")) if folder else []
        metafunc.parametrize("corpus_model", paths, ids=[str(path.relative_to(folder)) for path in paths])


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the corpus unless its folder is given, and what needs a framework or a browser unless named.

    With one of these named, nothing else runs.
    """
    corpus, framework = config.getoption("--corpus"), config.getoption("--integration")
    browser = config.getoption("--chromium") is not None
    chosen = [item for item in items if _is_chosen(item, corpus, framework, browser)]
    left_out = [item for item in items if not _is_chosen(item, corpus, framework, browser)]
    items[:] = chosen
    if left_out:
        config.hook.pytest_deselected(items=left_out)


def _is_chosen(item: pytest.Item, corpus: Path | None, framework: str | None, browser: bool) -> bool:
    mark = item.get_closest_marker("integration")
    needed = mark.args[0] if mark else None
    driven = item.get_closest_marker("browser") is not None
    has_models = corpus is not None or item.get_closest_marker("corpus") is None
    return needed == framework and driven == browser and has_models


@pytest.fixture(scope="session")
def samples() -> Path:
    """Return the folder of sample models."""
    return SAMPLES


@pytest.fixture(scope="session")
def report_of() -> "Callable[[Path], Report]":
    """Return what audits a sample model with the options that are there if none is given, each once."""
    from tests.faults import report_of  # loads NumPy

    return report_of
