"""Print what pyproject.toml declares, each at its oldest version: constraints for pip."""

import re
import tomllib
from pathlib import Path

about = Path(__file__).parent.parent / "pyproject.toml"
project = tomllib.loads(about.read_text(encoding="utf-8"))["project"]
for item in (*project["dependencies"], *project["optional-dependencies"]["test"]):
    print(re.sub(">=", "==", item))
