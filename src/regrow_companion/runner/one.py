"""Runs one notebook through papermill: in a process of its own, into a partial file, with a log and a stamp.

papermill 2.7 marks every cell of a notebook whose kernel was killed as completed, so only its exit code is believed.
The order is always: run into a partial file, look at the exit code, rename, check the figures, write the stamp.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

import regrow
import regrow_companion
from regrow import files
from regrow.errors import NotRecorded, RegrowError
from regrow_companion.runner.index import Entry

LIBRARIES = ("torch", "torchvision", "numpy", "scipy", "pandas", "matplotlib", "seaborn", "networkx", "powerlaw",
             "ipywidgets", "ipykernel", "papermill")
PATIENCE_SECONDS = 5.0  # between asking a notebook to stop and killing it
DEAD_KERNEL = 138       # papermill's exit code when the kernel died


@dataclass(frozen=True)
class Options:
    """How to run: the notebooks' three parameters, the build folder, and how many at once.

    Everything the runner writes is in build/<profile>: notebooks, logs, stamps, and jupyter's own small files.
    """

    profile: str
    store: Path
    out: Path
    build: Path = Path("build")
    jobs: int = 1
    keep_going: bool = False
    force: bool = False

    def __post_init__(self) -> None:
        if self.jobs < 1:
            raise RegrowError(f"--jobs must be 1 or more, not {self.jobs}.")

    @property
    def folder(self) -> Path:
        return self.build.resolve() / self.profile

    @property
    def parameters(self) -> dict[str, str]:
        """What the cell tagged `parameters` is overridden with; paths are absolute."""
        return {"profile": self.profile, "store": str(self.store.resolve()), "out": str(self.out.resolve())}

    def output(self, entry: Entry) -> Path:
        return self.folder / "notebooks" / entry.file

    def partial(self, entry: Entry) -> Path:
        return self.folder / "notebooks" / f".partial-{entry.file}"

    def failed(self, entry: Entry) -> Path:
        return self.folder / "notebooks" / f"{entry.path.stem}.failed.ipynb"

    def log(self, entry: Entry) -> Path:
        return self.folder / "logs" / f"{entry.id}.log"

    def stamp(self, entry: Entry) -> Path:
        return self.folder / "stamps" / f"{entry.id}.json"


@dataclass(frozen=True)
class Executed:
    """How a notebook ended: status is done, fresh, failed, check failed, skipped, or, in replay, no records."""

    id: str
    status: str
    seconds: float
    message: str
    log: Path


@dataclass(frozen=True)
class Execution:
    """A notebook that is running, and the stamp it earns if all goes well."""

    entry: Entry
    process: subprocess.Popen[bytes]
    stamp: dict[str, Any]
    began: float

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began


# Stamps: what a finished notebook depended on.

def stamp_of(entry: Entry, options: Options, inputs: str) -> dict[str, Any]:
    """What the notebook's result depends on now: its cells, our code, parameters, libraries and records."""
    cells = json.loads(entry.path.read_text(encoding="utf-8"))["cells"]
    source = json.dumps([[cell["cell_type"], "".join(cell["source"])] for cell in cells])  # outputs do not count
    package = hashlib.sha256()
    for root in (Path(regrow.__path__[0]), Path(regrow_companion.__path__[0])):
        for file in sorted(root.rglob("*.py")):
            package.update(f"{file.relative_to(root.parent)}\0".encode() + file.read_bytes() + b"\0")
    return {
        "notebook": hashlib.sha256(source.encode()).hexdigest(),
        "package": package.hexdigest(),
        "parameters": options.parameters,
        "libraries": {"python": platform.python_version()} | {name: _version(name) for name in LIBRARIES},
        "inputs": inputs,
    }


def _version(library: str) -> str:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return "absent"


def stale(entry: Entry, options: Options, stamp: dict[str, Any]) -> str:
    """Why the notebook must run again; empty if it need not."""
    if not options.stamp(entry).exists() or not options.output(entry).exists():
        return "no finished run yet"
    try:
        old = json.loads(options.stamp(entry).read_text(encoding="utf-8"))
        changed = [what for what in stamp if old.get(what) != stamp[what]]
    except (ValueError, AttributeError):
        return "its stamp cannot be read"
    return f"changed since the last run: {', '.join(changed)}" if changed else ""


def write_stamp(run: Execution, options: Options) -> None:
    """Declare a run finished, with what it depended on when it started."""
    files.write(options.stamp(run.entry), (json.dumps(run.stamp, indent=1) + "\n").encode())


# One notebook: start, finish, stop.

# An optional checker of addresses that jsonschema would import takes papermill four times as long as all the rest.
PAPERMILL = "import sys; sys.modules['rfc3987_syntax'] = None; from papermill.cli import papermill; papermill()"


def prepare(options: Options) -> None:
    """Make the folders, and a kernel named python3 that is this very interpreter, whatever else is installed."""
    kernel = options.folder / "jupyter" / "kernels" / "python3"
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {"argv": argv, "display_name": "Python 3", "language": "python"}
    try:
        for folder in (*(options.folder / name for name in ("notebooks", "logs", "stamps")), kernel):
            folder.mkdir(parents=True, exist_ok=True)
        files.write(kernel / "kernel.json", json.dumps(spec).encode())
    except OSError as error:
        raise RegrowError(f"{options.folder} cannot be written ({error.strerror}): run where you may write.") from None


def _environment(options: Options) -> dict[str, str]:
    def absolute(name: str, first: str = "") -> str:  # the kernel runs in the notebooks' folder
        paths = [first, *os.environ.get(name, "").split(os.pathsep)]
        return os.pathsep.join(os.path.abspath(path) for path in paths if path)

    return os.environ | {
        "OMP_NUM_THREADS": "1",
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",  # with Agg no notebook would show a figure
        "REGROW_STATIC_WIDGETS": "1",  # see widgets.panel: widgets stay alive on the site, without a kernel
        "JUPYTER_PATH": absolute("JUPYTER_PATH", str(options.folder / "jupyter")),
        "PYTHONPATH": absolute("PYTHONPATH"),
    }


def start(entry: Entry, options: Options, stamp: dict[str, Any]) -> Execution:
    """Start papermill on a notebook. Call `finish` when the process has ended, or `stop`."""
    # Without a stamp from here on: whatever happens, the last finished run no longer counts as the present state.
    for old in (options.stamp(entry), options.partial(entry), options.failed(entry)):
        old.unlink(missing_ok=True)
    command = [sys.executable, "-c", PAPERMILL, str(entry.path), str(options.partial(entry)), "--kernel", "python3",
               "--cwd", str(entry.path.parent), "--log-output", "--no-progress-bar"]
    for name, value in options.parameters.items():
        command += ["--parameters_raw", name, value]
    with open(options.log(entry), "wb") as log:
        # A process group of its own, so that Ctrl-C in the terminal reaches only us and we can stop in order.
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                                   env=_environment(options), process_group=0)
    return Execution(entry, process, stamp, time.monotonic())


def finish(run: Execution, options: Options) -> Executed:
    """Rename the partial file of a notebook whose process has ended, as its exit code says."""
    entry, code, partial, seconds = run.entry, run.process.returncode, options.partial(run.entry), run.seconds
    if code == 0 and partial.exists():
        os.replace(partial, options.output(entry))
        return Executed(entry.id, "done", seconds, "", options.log(entry))
    if partial.exists():
        os.replace(partial, options.failed(entry))
    message = _reason(code, options.failed(entry), options.log(entry))
    # Replay draws what has been shipped; the message says what has not, and the command that makes it.
    unshipped = options.profile == "replay" and message.startswith(f"{NotRecorded.__name__}: ")
    return Executed(entry.id, "no records" if unshipped else "failed", seconds, message, options.log(entry))


def _reason(code: int, notebook: Path, log: Path) -> str:
    """One line on why a notebook failed: the exception and its cell, a killed kernel, or the log's last line."""
    try:
        all_cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    except (OSError, ValueError, KeyError):
        all_cells = []
    cells = [c for c in all_cells if c["cell_type"] == "code"]
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").split("\n") if line.strip()]
    last = lines[-1] if lines else f"papermill ended with exit code {code} and said nothing"
    if code < 0:
        return f"papermill was killed by {signal.Signals(-code).name}; too little memory is the usual cause"
    if code == DEAD_KERNEL or "DeadKernelError" in last:
        # The kernel may die before its word that the cell has begun arrives: the log knows which cell was sent last.
        sent = [int(n) for n in re.findall(r"Executing Cell (\d+)", "\n".join(lines))]
        code_cells = [c for c in all_cells[:sent[-1]] if c["cell_type"] == "code"] if sent else []
        where = f" in {_place(code_cells[-1] | {'execution_count': len(code_cells)})}" if code_cells else ""
        return f"the kernel was killed{where}; too little memory is the usual cause"
    for cell in reversed(cells):
        for output in cell["outputs"]:
            if output["output_type"] == "error":
                return " ".join(f"{output['ename']}: {output['evalue']} in {_place(cell)}".split())
    return last


def _place(cell: dict[str, Any]) -> str:
    first = next((line.strip() for line in "".join(cell["source"]).splitlines() if line.strip()), "")
    return f"cell In [{cell['execution_count']}] ({first[:60]!r})"


def stop(runs: Sequence[Execution], options: Options) -> None:
    """Stop notebooks and remove their partial files. Cells get KeyboardInterrupt first, so that they can tidy up."""
    busy, kernels = list[psutil.Process](), list[psutil.Process]()
    for run in runs:
        with suppress(psutil.NoSuchProcess):
            papermill = psutil.Process(run.process.pid)
            family = papermill.children(recursive=True)  # a kernel has a session of its own: killpg would miss it
            if family:
                busy.append(papermill)
                kernels += family
            else:
                run.process.kill()  # no kernel yet, nothing to tidy up
    _signal(kernels, signal.SIGINT)
    psutil.wait_procs(busy + kernels, timeout=PATIENCE_SECONDS)  # papermill ends by itself when its cell is interrupted
    _signal(busy + kernels, signal.SIGKILL)
    for run in runs:
        run.process.wait()
        options.partial(run.entry).unlink(missing_ok=True)


def _signal(processes: Iterable[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):  # psutil also notices a process id that has changed hands
            process.send_signal(number)
