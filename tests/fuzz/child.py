"""The process of the fuzzer that runs onnxtop: command lines come on stdin, what each did goes to stdout.

It is run as a file, not as a module, in an empty folder of its own: ``python child.py FOLDER ROOT``, with the
root of the project first on the path. What it opens, starts or asks for elsewhere is written down by an audit
hook, by whatever process it is done: forks of this one have the hook too.
"""

import faulthandler
import json
import os
import re
import resource
import sys
import time
import traceback
import warnings
from pathlib import Path

ADDRESSES = 2**33
"""Bytes of address space: what wants more gets a MemoryError, and the machine lives."""

SYSTEM = ("/proc/self/", "/proc/meminfo", "/sys/fs/cgroup/", "/dev/null", "/dev/urandom", "/etc/os-release")
"""What says how much memory there is, which system it is, and the like."""

STARTED = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.startfile")
ASKED = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.bind")
LOADED = ("pickle.find_class",)
CHANGED = (
    "os.remove",
    "os.rename",
    "os.mkdir",
    "os.rmdir",
    "os.link",
    "os.symlink",
    "os.truncate",
    "os.chmod",
)


def hook(log: int, own: tuple[str, ...], quiet: list[bool]) -> None:
    """Write down every event of these, and what is opened that is not part of Python or the project."""

    def seen(event: str, arguments: tuple[object, ...]) -> None:
        if quiet[0]:
            return
        if event == "open":
            path, _, flags = arguments
            if isinstance(path, int) or path is None:
                return
            place = os.path.abspath(os.fsdecode(path))  # type: ignore[type-var, arg-type]  # noqa: PTH100
            written = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            if written or not place.startswith(own):
                os.write(log, f"{'writes' if written else 'reads'} {place}\n".encode(errors="replace"))
        elif event in STARTED or event in ASKED or event in LOADED or event in CHANGED:
            os.write(log, f"{event} {arguments[:1]!r}\n".encode(errors="replace"))

    sys.addaudithook(seen)


def peak() -> int:
    """Return the most bytes of memory that the process had since it was last asked to forget."""
    status = Path("/proc/self/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) << 10 if found else 0


def main(folder: str, root: str) -> None:
    """Run what comes until nothing comes any more."""
    sys.path[0] = root
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES, ADDRESSES))
    answer = os.fdopen(os.dup(1), "w")
    ends = {
        name: os.open(f"{folder}/{name}", os.O_RDWR | os.O_CREAT | os.O_APPEND)
        for name in ("stdout", "stderr", "log")
    }
    os.dup2(ends["stdout"], 1)
    os.dup2(ends["stderr"], 2)
    faulthandler.enable()
    warnings.simplefilter("always")
    warnings.filterwarnings("ignore", category=ResourceWarning, module="importlib")
    from onnxtop.cli import app

    quiet = [True]
    python = (*sys.path, sys.prefix, sys.base_prefix, sys.pycache_prefix)
    hook(ends["log"], (*filter(None, python), *SYSTEM), quiet)
    for line in sys.stdin:
        for end in ends.values():
            os.truncate(end, 0)
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        before, quiet[0] = time.process_time(), False
        try:
            code = app.main(json.loads(line), standalone_mode=False)
        except BaseException as error:
            traceback.print_exc()
            code = f"raised {type(error).__name__}"
        quiet[0] = True
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        spent = time.process_time() - before
        answer.write(json.dumps({"code": code, "seconds": spent, "peak": peak()}) + "\n")
        answer.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
