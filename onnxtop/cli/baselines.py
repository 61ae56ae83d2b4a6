"""Baselines of ``check``: an earlier report, or earlier models, which are audited and compared."""

import glob
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from onnxtop.auditing.options import AuditOptions
from onnxtop.cli.models import all_models
from onnxtop.errors import OnnxtopError, UsageError
from onnxtop.options import declared
from onnxtop.reader.address import is_elsewhere
from onnxtop.work.folders import is_model_name

if TYPE_CHECKING:
    from onnxtop.auditing.layers import Progress
    from onnxtop.rules.baseline import Baseline
    from onnxtop.rules.rule import Policy


@dataclass(frozen=True)
class Judge:
    """What models are judged by, wherever one is worked on; ``read`` are the files that it is made from."""

    plain: "Policy"
    read: Sequence[str]

    @property
    def is_ready(self) -> bool:
        """Whether a policy is there without work."""
        return True

    @property
    def models(self) -> Sequence[str]:
        """The models that it is made from; in the place of a report a new baseline may be written."""
        return ()

    def policy(self, model: str, progress: "Progress | None" = None) -> "Policy":
        """Return the policy of a model by its path."""
        return self.plain


def judge(settings: Mapping[str, Any], options: AuditOptions, n_models: int) -> Judge:
    """Return what judges so many models by the settings, one of which may be a baseline.

    Raises
    ------
    UsageError
        The baseline cannot be read.
    """
    from onnxtop.rules.baseline import read_baseline
    from onnxtop.rules.policy import policy_of

    path, plain = settings["baseline"], policy_of(settings)
    if not path:
        return Judge(plain, ())
    if _names_models(path):
        return _ByModels(plain, _models(path), path, options, n_models)
    return _ByReport(plain, (path,), read_baseline(path, options.limits, declared(AuditOptions)), n_models)


def _names_models(path: str) -> bool:
    if is_elsewhere(path) or is_model_name(path):
        return True
    return os.path.isdir(path) or (glob.has_magic(path) and not os.path.exists(path))


def _models(path: str) -> Sequence[str]:
    try:
        return all_models((path,))
    except OnnxtopError as error:
        raise UsageError(f"baseline {error}") from None


@dataclass(frozen=True)
class _ByReport(Judge):
    """Models are compared with an earlier report."""

    baseline: "Baseline"
    n_models: int

    def policy(self, model: str, progress: "Progress | None" = None) -> "Policy":
        """Return the policy of a model: with the report on it, if there is one."""
        known = self.baseline.of(model, self.n_models)
        if isinstance(known, str):
            return replace(self.plain, unknown=known)
        return replace(self.plain, baseline=known)


@dataclass(frozen=True)
class _ByModels(Judge):
    """Models are compared with others, one by one, when their turn comes."""

    path: str
    options: AuditOptions
    n_models: int

    @property
    def is_ready(self) -> bool:
        """Never: the earlier model is to be audited and compared, where the later one is."""
        return False

    @property
    def models(self) -> Sequence[str]:
        """The earlier models."""
        return self.read

    def policy(self, model: str, progress: "Progress | None" = None) -> "Policy":
        """Return the policy of a model: with the report on the earlier one, and the verdict on the two."""
        from onnxtop.comparison.gate import against
        from onnxtop.rules.baseline import counterpart

        earlier = counterpart(model, self.read, self.n_models, self.path)
        if earlier is None:
            return replace(self.plain, unknown=f"{self.path} has no model of this name")
        return against(earlier, model, self.plain, self.options, progress)
