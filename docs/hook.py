"""What mkdocs cannot do by itself: formulas as MathML, which browsers show without a script or a font."""

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
