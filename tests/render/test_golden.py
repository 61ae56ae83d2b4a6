"""The files in ``golden`` are what the renderers give; ``python tests/render/conftest.py`` writes them."""

from pathlib import Path


def test_every_golden_file_is_rendered_as_it_stands(rendered, golden):
    for name, text in rendered.items():
        assert text == golden(name), name


def test_there_is_no_other_golden_file(rendered):
    assert {path.name for path in (Path(__file__).parent / "golden").iterdir()} == set(rendered)
