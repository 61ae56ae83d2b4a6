"""One model judged by rules, bounds and a baseline: what ``onnxtop check`` does with each of its models."""

import os
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Unpack

from onnxtop.auditing.apart import apart, inside
from onnxtop.auditing.layers import Progress
from onnxtop.auditing.options import AuditOptions
from onnxtop.auditing.story import audit
from onnxtop.comparison.keywords import GateKeywords
from onnxtop.comparison.options import DiffOptions, GateOptions, shared
from onnxtop.comparison.story import verdict
from onnxtop.errors import UsageError, named
from onnxtop.options import Digesting, asked, declared
from onnxtop.reader.address import called, is_address
from onnxtop.reader.loading import file_of
from onnxtop.reader.model import ModelSource
from onnxtop.reader.model_file import ModelFile
from onnxtop.results.check import Check
from onnxtop.results.diff import DiffSettings
from onnxtop.results.report import Report
from onnxtop.rules.baseline import read_baseline
from onnxtop.rules.policy import KEYS, policy_of, read_config, values_of
from onnxtop.rules.rule import Policy


def check(
    model: ModelSource,
    options: GateOptions | None = None,
    *,
    baseline: ModelSource | Report | None = None,
    config: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
    **changes: Unpack[GateKeywords],
) -> Check:
    """Judge one ONNX model by rules, bounds and a baseline.

    Parameters
    ----------
    model
        Its path, its bytes, a binary file object, or a ModelProto.
    options
        How to judge, and what to measure.
    baseline
        What to compare with: an earlier report, the path of a JSON report (any that does not end in
        ``.onnx``), or the earlier model.
    config
        An ``onnxtop.toml`` or ``pyproject.toml`` to read; none is looked for. Keywords go before it.
    progress
        Called after each layer.
    **changes
        Or single options as keywords, see `GateOptions`: ``fail_on="warning"``, ``execute=True``,
        ``thresholds={"np.normalized": {"min": 0.05}}``.

    Returns
    -------
    Check
        Verdict, findings and exit code.

    Raises
    ------
    onnxtop.UsageError
        Options that make no sense, or a baseline that cannot be read.
    onnxtop.ModelError
        The model cannot be read.

    Examples
    --------
    ::

        checked = onnxtop.check("new.onnx", baseline="old.onnx", fail_on="warning")
        str(checked.verdict), [finding.message for finding in checked.failures]
    """
    if options is not None and config is not None:
        raise UsageError("wanted options or a configuration, found both: give keywords beside the file")
    file = read_config(Path(config), declared(AuditOptions)).values if config is not None else {}
    measured = {key.replace("-", "_"): value for key, value in file.items() if key not in KEYS}
    options = asked(GateOptions, options, {**measured, **changes})
    judged = {k: v for k, v in file.items() if k in KEYS and k.replace("-", "_") not in changes}
    values = {**values_of(options), **judged}
    baseline = baseline if baseline is not None else options.baseline or values.get("baseline")
    wanted: Digesting = "outline" if baseline is None else "normal"
    audited = replace(options.audit, digests=wanted, work=inside(work := options.audit.work))
    judge = partial(_checked, model, values, baseline, audited)
    if work.apart:
        return apart(judge, [model], work, progress, runs=audited.running.asked)
    return judge(progress=progress)


def _checked(
    model: ModelSource,
    values: Mapping[str, Any],
    baseline: ModelSource | Report | None,
    options: AuditOptions,
    progress: Progress | None,
) -> Check:
    model = _again(model, options)
    policy = _policy(values, baseline, model, options, progress)
    return Check(audit(model, options, policy=policy, progress=progress), values["fail-on"])


def _again(model: ModelSource, options: AuditOptions) -> str | os.PathLike[str] | ModelFile:
    """Return a model as it can be read twice; one that has a path stays that, by which it is remembered."""
    file = file_of(model, max_download=options.max_download, limits=options.limits)
    has_path = file.path is not None and file.remote is None
    return model if isinstance(model, str | os.PathLike) and has_path else file


def _policy(
    values: Mapping[str, Any],
    baseline: ModelSource | Report | None,
    model: str | os.PathLike[str] | ModelFile,
    options: AuditOptions,
    progress: Progress | None,
) -> Policy:
    plain = policy_of(values)
    if baseline is None:
        return plain
    if isinstance(baseline, Report):
        return replace(plain, baseline=baseline)
    if isinstance(baseline, str | os.PathLike) and not _names_model(os.fspath(baseline)):
        known = declared(AuditOptions)
        earlier = read_baseline(os.fspath(baseline), options.limits, known).of(file_of(model).name, 1)
        if isinstance(earlier, str):
            return replace(plain, unknown=earlier)
        return replace(plain, baseline=earlier)
    return against(baseline, model, plain, options, progress)


def _names_model(path: str) -> bool:
    return path.lower().endswith(".onnx") or is_address(path)


def against(
    earlier: ModelSource,
    model: ModelSource,
    policy: Policy,
    options: AuditOptions,
    progress: Progress | None = None,
) -> Policy:
    """Return the policy with an earlier model as its baseline: the report on it, and the verdict on the two.

    Raises
    ------
    UsageError, ModelError
        The earlier model cannot be read, or the options do not fit it.
    """
    name = os.fspath(earlier) if isinstance(earlier, str | os.PathLike) else "in memory"
    whole = replace(options, layers=None, data=None)
    with named(called(name), "baseline "):
        file = _again(earlier, options)
        then = audit(file, whole, policy=policy, progress=progress)
    policy = replace(policy, baseline=then)
    if policy.structure_only:
        return policy
    return replace(policy, verdict=verdict(file, model, _compared(policy, options), progress=progress))


def _compared(policy: Policy, options: AuditOptions) -> DiffOptions:
    """Return how two models are compared by a policy."""
    return DiffOptions(
        settings=DiffSettings(
            tolerance=policy.tolerance("constants"),
            np_tolerance=policy.tolerance("np.normalized"),
            seed=options.seed,
        ),
        **shared(options),
    )
