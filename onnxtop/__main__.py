"""Run the command line: ``onnxtop``, or ``python -m onnxtop``."""

import contextlib
import os
import signal
import sys
from types import FrameType

from onnxtop.errors import ENDED

_BOTH = (signal.SIGINT, signal.SIGTERM)


def main() -> None:
    """Run ``onnxtop``: the entry point.

    A signal that no work hears yet, while all that it needs is loaded, ends the run at once; behind the work,
    where everything is written, none is heard any more. Those that are ignored (as behind nohup) stay so.
    """
    _hold_streams()
    heard = [each for each in _BOTH if signal.getsignal(each) is not signal.SIG_IGN]
    for each in heard:
        signal.signal(each, _end)
    from onnxtop.cli import main as run

    try:
        run()
    finally:
        for each in heard:
            signal.signal(each, signal.SIG_IGN)


def _hold_streams() -> None:
    """Open nothing as each standard stream that is closed: what else is opened would be taken for it."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", closefd=False)  # libraries write to it without looking


def _end(number: int, frame: FrameType | None) -> None:
    with contextlib.suppress(OSError):
        os.write(2, ENDED)
    os._exit(130)


if __name__ == "__main__":
    main()
