"""What all tests share: the corpus of real models is an option, never a skip."""

from pathlib import Path

import pytest

SAMPLES = Path(__file__).parent.parent / "sample_models"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--corpus",
        type=Path,
        default=None,
        metavar="DIR",
        help="folder of real models: run the tests marked corpus on every *.onnx below it",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "corpus: runs over real models; needs --corpus=DIR")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "corpus_model" in metafunc.fixturenames:
        folder = metafunc.config.getoption("--corpus")
        paths = sorted(folder.rglob("*.onnx")) if folder else []
        metafunc.parametrize("corpus_model", paths, ids=[str(path.relative_to(folder)) for path in paths])


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the corpus out of the run unless its folder is given."""
    if config.getoption("--corpus") is None:
        left_out = [item for item in items if item.get_closest_marker("corpus")]
        items[:] = [item for item in items if not item.get_closest_marker("corpus")]
        if left_out:
            config.hook.pytest_deselected(items=left_out)


@pytest.fixture(scope="session")
def samples() -> Path:
    """Return the folder of sample models."""
    return SAMPLES
