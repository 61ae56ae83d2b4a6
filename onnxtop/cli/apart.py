"""Whether what is done with a model is done apart: in processes that may die of it."""

import os

OFF = "off"
"""What the environment variable says where all is to be done in one process."""


def is_wanted() -> bool:
    """Tell whether the user wants it so: unless ``ONNXTOP_APART`` is off."""
    return os.environ.get("ONNXTOP_APART") != OFF
