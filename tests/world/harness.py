"""A process that has loaded what onnxtop needs, and forks for each run of its command line.

It is asked by lines of JSON, `Asked`, and answers by lines of JSON, `Ended`: a run costs no start. Every run
is in a session and folder of its own, may open no connection to another machine, and is followed to its end:
a process that it leaves behind is adopted here and told.

Run as a program: ``python -m tests.world.harness``.
"""

import contextlib
import ctypes
import gc
import importlib
import json
import mmap
import os
import platform
import resource
import signal
import struct
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

LIBC = ctypes.CDLL(None, use_errno=True)
SECONDS = 60
"""A run that takes longer hangs."""


@dataclass
class Asked:
    """What to run, and what the world does to it.

    ``out`` and ``err`` are files, or ``closed``, or ``gone``: a pipe that nobody reads. ``size`` is that of
    the largest file that may be written. ``rights`` says whether files may be opened against their
    permissions, as root may. ``moment`` is after how many steps (audit events of Python, in all processes of
    the run) it gets the signal ``number``, if that is not 0. ``planted`` is run first.
    """

    arguments: list[str]
    folder: str
    out: str = ""
    err: str = ""
    given: str = "/dev/null"
    size: int | None = None
    rights: bool = True
    moment: int = 0
    number: int = 0
    planted: str = ""
    environment: dict[str, str] = field(default_factory=dict)


@dataclass
class Ended:
    """How it ended: ``left`` are processes that it left behind, ``steps`` those that were counted."""

    code: int
    out: str
    err: str
    left: int
    steps: int


LOADED = (
    *("onnxtop.auditing.story", "onnxtop.auditing.layer_graph", "onnxtop.comparison.story"),
    *("onnxtop.render.report.terminal", "onnxtop.rules.policy", "onnxtop.tracing.story", "networkx"),
    *(f"onnxtop.cli.{verb}" for verb in ("report", "check", "diff", "graph", "trace", "layers", "rules")),
)
"""What runs would load, each anew."""


def main() -> None:
    """Answer until nobody asks."""
    os.environ.pop("ONNXTOP_APART", None)  # as whoever types a command has it
    os.environ.update(ONNXTOP_CACHE="off", OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    sys.dont_write_bytecode = True  # a world without room would leave half of it for the next run
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    adopt = 36  # PR_SET_CHILD_SUBREAPER
    LIBC.prctl(adopt, 1, 0, 0, 0)
    for name in LOADED:
        importlib.import_module(name)
    gc.freeze()  # a copy of this process shares its pages until it writes to them
    for line in sys.stdin:
        print(json.dumps(asdict(_run(Asked(**json.loads(line))))), flush=True)


def _run(asked: Asked) -> Ended:
    folder = Path(asked.folder)
    told = {name: Path(f"{asked.folder}.{name}") for name in ("out", "err")}
    for path in told.values():
        path.write_bytes(b"")
    steps = mmap.mmap(-1, 8)
    child = os.fork()
    if child == 0:
        try:
            _become(asked, folder, told, steps)
        finally:
            os._exit(99)  # unreachable, but for errors here
    code = _waited(child)
    left = _left_behind()
    said = [told[name].read_bytes().decode("utf-8", "surrogateescape") for name in ("out", "err")]
    return Ended(code, *said, left=left, steps=_counted(steps))


def _become(asked: Asked, folder: Path, told: dict[str, Path], steps: mmap.mmap) -> None:
    """Be the process of a run, to its end."""
    os.setsid()
    os.chdir(folder)
    os.dup2(os.open(asked.given, os.O_RDONLY), 0)
    for place, wanted, usual in ((1, asked.out, told["out"]), (2, asked.err, told["err"])):
        _point(place, wanted, usual)
    sys.stdin, sys.stdout, sys.stderr = (_stream(number) for number in range(3))
    os.environ.update(asked.environment, TMPDIR=asked.environment.get("TMPDIR", str(folder)))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    exec(asked.planted, {"folder": folder})
    _forbid(asked)
    sys.argv = ["onnxtop", *asked.arguments]
    from onnxtop.__main__ import main as run

    _count(steps, asked.moment, asked.number)
    code: Any = 0
    try:
        run()
    except SystemExit as error:
        code = error.code
    if sys.stdout is not None:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
    os._exit(code if isinstance(code, int) else 1)


def _point(place: int, wanted: str, usual: Path) -> None:
    if wanted == "closed":
        os.close(place)
        return
    if wanted == "gone":
        reader, writer = os.pipe()
        os.close(reader)
    else:
        writer = os.open(wanted or usual, os.O_WRONLY | os.O_APPEND)
    os.dup2(writer, place)
    os.close(writer)


def _stream(number: int) -> Any:
    try:
        os.fstat(number)
    except OSError:
        return None  # as Python has it where one is closed
    return open(number, "r" if number == 0 else "w", encoding="utf-8", closefd=False)


def _count(steps: mmap.mmap, moment: int, number: int) -> None:
    """Count the steps of this process and of all copies of it; at the moment, signal this one."""
    own = os.getpid()

    def hook(event: str, given: Any) -> None:
        steps[:] = (_counted(steps) + 1).to_bytes(8, "little")
        if number and _counted(steps) == moment:
            os.kill(own, number)

    sys.addaudithook(hook)


def _counted(steps: mmap.mmap) -> int:
    return int.from_bytes(steps[:], "little")


def _forbid(asked: Asked) -> None:
    _forbid_connections()
    if asked.size is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (asked.size, asked.size))
    if not asked.rights:
        _drop_rights()


def _drop_rights() -> None:
    """Be bound to permissions, as everybody but root is."""
    if os.geteuid() == 0:
        header = struct.pack("=Ii", 0x20080522, 0)  # version 3 of the interface, this process
        data = bytearray(24)
        assert LIBC.capget(header, (ctypes.c_char * 24).from_buffer(data)) == 0
        words = list(struct.unpack("=6I", data))
        for place in (0, 1):  # effective and permitted: CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
            words[place] &= ~0b110
        assert LIBC.capset(header, struct.pack("=6I", *words)) == 0


SOCKET = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}
"""What the kernel calls a processor, and its number of the call that makes a socket."""


def _forbid_connections() -> None:
    """Have the kernel end whoever makes a socket of the internet, here and in all that this starts."""
    machine, call = SOCKET[platform.machine()]
    load, equal, end = 0x20, 0x15, 0x06  # BPF: load a word, jump if equal, return
    allow, kill = 0x7FFF0000, 0x80000000
    program = [
        (load, 0, 0, 4),  # the processor
        (equal, 0, 6, machine),
        (load, 0, 0, 0),  # the call
        (equal, 0, 4, call),
        (load, 0, 0, 16),  # its first argument: the family
        (equal, 1, 0, 2),  # AF_INET
        (equal, 0, 1, 10),  # AF_INET6
        (end, 0, 0, kill),
        (end, 0, 0, allow),
    ]
    code = b"".join(struct.pack("=HBBI", *each) for each in program)
    held = ctypes.create_string_buffer(code)
    filtering = struct.pack("@HxxxxxxP", len(program), ctypes.addressof(held))
    no_new_rights, seccomp, by_filter = 38, 22, 2
    assert LIBC.prctl(no_new_rights, 1, 0, 0, 0) == 0
    assert LIBC.prctl(seccomp, by_filter, filtering, 0, 0) == 0


def _waited(child: int) -> int:
    """Return the exit code, negative for a signal; end what hangs."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return 98


def _left_behind() -> int:
    """Return how many processes did not end with the run, or soon after; end them."""
    end = time.monotonic() + 3
    while True:
        try:
            done, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return 0
        if not done and time.monotonic() > end:
            break
        if not done:
            time.sleep(0.005)
    others = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    for each in others:
        os.kill(int(each), signal.SIGKILL)
        os.waitpid(int(each), 0)
    return len(others)


if __name__ == "__main__":
    main()
