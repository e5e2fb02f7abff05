# SPDX-License-Identifier: GPL-3.0-or-later
"""The worker process: reads jobs from stdin, runs them one by one, answers on stdout.

The main thread runs the jobs. A second thread reads stdin, so that a cancel arrives while a job
runs: it breaks the job off between any two of its steps, not only where the job reports. A job
whose result gets better and better may be settled instead: it is told so where it next reports.
The end of stdin ends the process, whatever it is doing: no worker outlives its Blender.
"""

from __future__ import annotations

import _thread
import faulthandler
import os
import platform
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from types import FrameType
from typing import IO, TYPE_CHECKING, Any, Protocol

import backend
from backend.errors import BackendError, Cancelled
from backend.importing import uncollected
from backend.lifeline import take_over_stdin
from backend.texts import Text
from backend.worker.protocol import PROTOCOL, Arrays, ProtocolError, pack, read_message

if TYPE_CHECKING:
    import numpy as np


class Report(Protocol):
    """Sends the progress of a job, or a picture of what it makes."""

    def __call__(
        self, fraction: float = 0.0, message: str = "", preview: np.ndarray | None = None
    ) -> bool:
        """Send how much is done, from 0 to 1, and what is done now; or else a preview, lines
        (N, 2, 3). Returns whether the user wants what there is by now. Raises `Cancelled` once the
        job was cancelled."""


JobFunction = Callable[[dict[str, Any], Arrays, Report], tuple[dict[str, Any], Arrays]]

EXIT_NO_MEMORY = 2  # for a job that was being received
MISSING_ON_WINDOWS = 126  # of a library: it, or one that it needs
NO_MEMORY = "Memory ran out. Choose a lower resolution or close other programs."


def serve(jobs: Mapping[str, JobFunction] | None = None) -> int:
    """Answer jobs until stdin ends or a ``quit`` comes.

    Parameters
    ----------
    jobs
        The job functions by name; ``backend.worker.jobs.JOBS`` if not given. A job gets its
        parameters, its arrays and a `Report`; it returns JSON values and arrays.

    Returns
    -------
    int
        The exit status. What keeps the worker from being ready is said instead of hello.
    """
    server = _Server(*_take_over_streams())
    server.listen()
    faulthandler.enable()
    try:
        with uncollected():
            hello = _hello()
            if jobs is None:
                from backend.worker.jobs import JOBS

                jobs = JOBS
    except ModuleNotFoundError as error:
        server.refuse(_missing_package(error))
        return 1
    except OSError as error:
        server.refuse(_missing_library(error))
        return 1
    try:
        server.run(hello, jobs)
    except OSError as error:  # a job's own errors never get here: the other end is gone
        print(f"The connection to Blender was lost: {error}", file=sys.stderr)
    return 0


def _take_over_streams() -> tuple[IO[bytes], IO[bytes]]:
    """Keep stdin and stdout for the protocol alone; what anything else prints goes to stderr."""
    source, sink = os.fdopen(take_over_stdin(), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return source, sink


def _hello() -> dict[str, Any]:
    import torch

    return {
        "type": "hello",
        "protocol": PROTOCOL,
        "package": backend.__version__,
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "device": _device(),
    }


def _device() -> str:
    """Return what the worker computes on: the CPU, or a GPU with its memory."""
    import torch

    if not torch.cuda.is_available():
        return "CPU"
    gpu = torch.cuda.get_device_properties()
    return f"{gpu.name} ({gpu.total_memory / 2**30:.0f} GB)"


def _missing_package(error: ModuleNotFoundError) -> Text:
    module = (error.name or "").partition(".")[0]
    if module in ("", "backend"):
        raise error  # our own fault, and no package that the user could install
    package = {"skimage": "scikit-image"}.get(module, module)
    title = {"torch": "PyTorch"}.get(package, package)
    return Text(
        "The worker's Python at {python} has no {title}. Install {package} in it, or choose "
        "another Python in the preferences.",
        python=sys.executable,
        title=title,
        package=package,
    )


def _missing_library(error: OSError) -> Text:
    if getattr(error, "winerror", None) != MISSING_ON_WINDOWS:
        raise error
    return Text(
        "A library that PyTorch needs is missing ({reason}). Install Microsoft's Visual C++ "
        "Redistributable for x64 and try again.",
        reason=str(error),
    )


def _message(text: str) -> dict[str, Any]:
    """Return a text as the add-on takes it: with values it is a template."""
    if isinstance(text, Text) and text.values:
        return {"message": text.template, "values": text.values}
    return {"message": text}


class _Server:
    def __init__(self, source: IO[bytes], sink: IO[bytes]) -> None:
        self._source = source
        self._sink = sink
        self._jobs: Mapping[str, JobFunction] = {}
        self._waiting: queue.SimpleQueue[tuple[dict[str, Any], Arrays]] = queue.SimpleQueue()
        self._cancelled: set[int] = set()
        self._settled: set[int] = set()
        self._job_id = 0
        self._breakable = False  # the job's own code runs, and no message is half sent

    def listen(self) -> None:
        signal.signal(signal.SIGINT, self._break_off)
        threading.Thread(target=self._listen, daemon=True).start()

    def run(self, hello: dict[str, Any], jobs: Mapping[str, JobFunction]) -> None:
        self._jobs = jobs
        self._send(pack(hello))
        while True:
            self._send(self._answer(*self._waiting.get()))

    def refuse(self, text: Text) -> None:
        """Say why there will be no hello."""
        self._send(pack({"type": "error", **_message(text)}))

    def _send(self, message: bytes) -> None:
        self._sink.write(message)
        self._sink.flush()

    def _listen(self) -> None:
        """Sort what comes in until nothing comes any more, then end the process: no job has
        anything to save."""
        status = 0
        try:
            while self._take(*read_message(self._source)):
                pass
        except (EOFError, OSError):
            pass  # the usual end: Blender closed the pipe, or is gone
        except ProtocolError as error:
            print(error, file=sys.stderr)
        except MemoryError:  # where the next message begins is not known any more
            status = EXIT_NO_MEMORY
        finally:
            sys.stderr.flush()
            os._exit(status)

    def _take(self, header: dict[str, Any], arrays: Arrays) -> bool:
        match header.get("type"):
            case "job":
                self._waiting.put((header, arrays))
            case "cancel":
                self._cancelled.add(job_id := header.get("id", 0))
                if job_id == self._job_id:
                    _thread.interrupt_main()
            case "settle":
                self._settled.add(header.get("id", 0))
            case "quit":
                return False
        return True

    def _answer(self, header: dict[str, Any], arrays: Arrays) -> bytes:
        job_id = self._job_id = header["id"]
        try:
            values, answer = self._run_job(header, arrays)
            return pack({"type": "result", "id": job_id, "values": values}, answer)
        except Exception as error:
            return pack({"type": "error", "id": job_id, **_describe(error)})
        finally:
            self._cancelled.discard(job_id)
            self._settled.discard(job_id)

    def _run_job(self, header: dict[str, Any], arrays: Arrays) -> tuple[dict[str, Any], Arrays]:
        try:
            self._report(0.0, "Starting")
            return self._jobs[header["name"]](header["params"], arrays, self._report)
        finally:
            self._breakable = False

    def _report(
        self, fraction: float = 0.0, message: str = "", preview: np.ndarray | None = None
    ) -> bool:
        self._heed_cancel()
        self._breakable = False
        news = {"fraction": float(fraction), **_message(message)} if preview is None else {}
        arrays = {} if preview is None else {"preview": preview}
        self._send(pack({"type": "progress", "id": self._job_id, **news}, arrays))
        self._breakable = True
        self._heed_cancel()
        return self._job_id in self._settled

    def _heed_cancel(self) -> None:
        if self._job_id in self._cancelled:
            self._breakable = False
            raise Cancelled("The job was cancelled.")

    def _break_off(self, signal_number: int, frame: FrameType | None) -> None:
        """Heed a cancel, or Ctrl-C in Blender's terminal, which reaches this process too, wherever
        the main thread's Python is, once it can be left there."""
        self._cancelled.add(self._job_id)
        if self._breakable and not _is_importing(frame):
            self._heed_cancel()


def _is_importing(frame: FrameType | None) -> bool:
    """Tell whether a module is being imported: half of one would break the next job."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _describe(error: Exception) -> dict[str, Any]:
    """Return kind, message (one sentence) and details of what a job raised."""
    if isinstance(error, Cancelled):
        return {"kind": "cancelled", "message": str(error), "details": ""}
    if isinstance(error, BackendError):
        return {"kind": "user", **_message(error.text), "details": ""}
    details = "".join(traceback.format_exception(error))
    if _is_out_of_memory(error):
        return {"kind": "user", **_message(NO_MEMORY), "details": details}
    text = Text(
        "The worker met an unexpected error ({kind}: {reason}).",
        kind=type(error).__name__,
        reason=str(error).partition("\n")[0],
    )
    return {"kind": "internal", **_message(text), "details": details}


def _is_out_of_memory(error: Exception) -> bool:
    # PyTorch raises a RuntimeError on the CPU, and a class of its own on a GPU.
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or "DefaultCPUAllocator" in str(error)
    )
