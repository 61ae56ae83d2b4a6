"""Print what pyproject.toml declares, each at its oldest version: constraints for pip."""

import re
import tomllib
from pathlib import Path

settings = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8"))
project = settings["project"]
for item in (*project["dependencies"], *project["optional-dependencies"]["test"]):
    print(re.sub(">=", "==", item))
