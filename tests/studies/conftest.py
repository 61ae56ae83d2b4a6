"""The studies are a folder beside the package, not a part of it."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2]))


@pytest.fixture
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw less often where intervals only have to be there, or are as narrow as the records are alike."""
    for module in ("_numbers", "_judging"):
        monkeypatch.setattr(f"studies.{module}.DRAWS", 20)
