"""Models in folders: what is below one, and which folders of it did not let themselves be looked into."""

import os
from pathlib import Path


def is_model_name(name: str) -> bool:
    """Tell whether a file is a model by its name."""
    return name.lower().endswith(".onnx")


def models_below(folder: str | os.PathLike[str]) -> tuple[list[str], list[OSError]]:
    """Return the models in a folder and below it, sorted; and why folders there could not be listed.

    Links to folders are not entered: they may lead in circles.
    """
    refused: list[OSError] = []
    models = sorted(
        str(Path(parent, name))
        for parent, _, names in os.walk(folder, onerror=refused.append)
        for name in names
        if is_model_name(name)
    )
    return models, refused
