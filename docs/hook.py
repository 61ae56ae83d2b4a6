"""What mkdocs cannot do by itself: formulas that need no script and no font, pages that open from disk."""

from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Let fenced blocks of the language ``math`` be formulas, as GitHub does."""
    fences = {"name": "math", "class": "math", "format": formula}
    config.mdx_configs.setdefault("pymdownx.superfences", {})["custom_fences"] = [fences]
    return config


def formula(source: str, *_: Any, **__: Any) -> str:
    """Return a formula in LaTeX as MathML; a double backslash ends a formula, and another may follow."""
    lines = [line.strip() for line in source.split(r"\\") if line.strip()]
    return f'<div class="math">{"".join(convert(line, display="block") for line in lines)}</div>'


def on_post_build(config: MkDocsConfig) -> None:
    """Put the index of the search where the theme looks for it in a page that was opened from disk."""
    index = Path(config.site_dir, "search", "search_index.json").read_text(encoding="utf-8")
    Path(config.site_dir, "search", "search_index.js").write_text(f"var __index = {index}", encoding="utf-8")
