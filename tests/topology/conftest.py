"""Make the helpers beside this file importable: brute_force, hard_matrices; draw every null model anew."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))


@pytest.fixture(scope="module", autouse=True)
def _drawn_anew() -> Iterator[None]:
    """Undo what other rooms share: that a draw depends on its shape alone is tested here."""
    from onnxtop.topology import null_model, rank_profiles

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(null_model, "draw_profiles", rank_profiles.draw_profiles)
        yield
