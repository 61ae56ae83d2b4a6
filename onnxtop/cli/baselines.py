"""Baselines of ``check``: an earlier report, or earlier models, which are audited and compared."""

import glob
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnxtop.auditing.options import AuditOptions
from onnxtop.cli.models import all_models, is_model_name
from onnxtop.cli.progress import ProgressLine
from onnxtop.errors import OnnxtopError, UsageError
from onnxtop.reader.address import is_elsewhere

if TYPE_CHECKING:
    from onnxtop.rules.rule import Policy


@dataclass(frozen=True)
class Judge:
    """Returns the policy of each model by its path; ``read`` are the files that it is made from."""

    policy: "Callable[[str], Policy]"
    read: Sequence[str] = ()


def judge(settings: Mapping[str, Any], options: AuditOptions, n_models: int, progress: ProgressLine) -> Judge:
    """Return what judges so many models by the settings, one of which may be a baseline.

    Raises
    ------
    UsageError
        The baseline cannot be read.
    """
    from onnxtop.rules.baseline import read_baseline
    from onnxtop.rules.policy import policy_of

    path = settings["baseline"]
    if not path:
        return Judge(lambda model: policy_of(settings))
    if _names_models(path):
        earlier = _Earlier(path, _models(path), settings, options, progress)
        return Judge(lambda model: earlier.policy(model, n_models), earlier.models)
    baseline = read_baseline(path)

    def policy(model: str) -> "Policy":
        known = baseline.of(model, n_models)
        return policy_of(settings, unknown=known) if isinstance(known, str) else policy_of(settings, known)

    return Judge(policy, (path,))


def _names_models(path: str) -> bool:
    if is_elsewhere(path) or is_model_name(path):
        return True
    return Path(path).is_dir() or (glob.has_magic(path) and not Path(path).exists())


def _models(path: str) -> Sequence[str]:
    try:
        return all_models((path,))
    except OnnxtopError as error:
        raise UsageError(f"baseline {error}") from None


@dataclass(frozen=True)
class _Earlier:
    """Models that others are compared with, one by one, when their turn comes."""

    path: str
    models: Sequence[str]
    settings: Mapping[str, Any]
    options: AuditOptions
    progress: ProgressLine

    def policy(self, model: str, n_models: int) -> "Policy":
        """Return the policy of a model: with the report on the earlier one, and the verdict on the two."""
        from onnxtop.comparison.gate import against
        from onnxtop.rules.baseline import counterpart
        from onnxtop.rules.policy import policy_of

        plain = policy_of(self.settings)
        earlier = counterpart(model, self.models, n_models, self.path)
        if earlier is None:
            return replace(plain, unknown=f"{self.path} has no model of this name")
        return against(earlier, model, plain, self.options, self.progress)
