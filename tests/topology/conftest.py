"""Make the helpers beside this file importable: brute_force, hard_matrices."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))
