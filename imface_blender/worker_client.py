# SPDX-License-Identifier: GPL-3.0-or-later
"""Starts the worker process, sends it jobs, reads what it answers, cancels. No bpy, no torch.

Nothing here blocks Blender's main thread: three threads for each worker do the reading and
writing of its pipes and touch only queues; `Job.poll` takes what has arrived. A worker that
died fails its job, and the next job starts a new worker.
"""

from __future__ import annotations

import mmap
import os
import queue
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import wire
from .errors import UserError
from .translations import label, say
from .work import Job, State

SECONDS_TO_HEED_A_CANCEL = 2.0
SECONDS_TO_END = 2.0
STDERR_TAIL_BYTES = 16 * 2**10

STARTING = "Starting the worker"
ANOTHER_PYTHON = "Choose another Python in the preferences."
KILLED_FROM_OUTSIDE = -9  # what Popen says of SIGKILL, which Linux sends when memory runs out
EXIT_NO_MEMORY = 2  # for a job that was being received

Message = tuple[dict[str, Any], wire.Arrays]


class WorkerError(UserError):
    """The worker cannot take the job."""


def worker_command(python: str, words: Sequence[str] = ("serve",)) -> list[str]:
    """Return the command line that makes a Python a worker, or have the backend do other words."""
    # -P: a file in the current folder must not pass for one of the worker's modules.
    return [python, "-P", "-m", "backend", *words]


def runtime_command(python: str, words: Sequence[str] = ("serve",)) -> list[str]:
    """Return the command line for packages of our own: no other package is seen, wherever it is."""
    return [python, "-S", "-s", *worker_command(python, words)[1:]]


def runtime_environment(folders: Sequence[Path]) -> dict[str, str]:
    """Return the variables that go with `runtime_command`; the worker imports from the folders."""
    return {
        "PYTHONPATH": os.pathsep.join(map(str, folders)),
        "PYTHONNOUSERSITE": "1",
        "PYTHONDONTWRITEBYTECODE": "",  # PyTorch takes seconds longer without its bytecode
    }


def worker_environment(backend_dir: Path, extra: Mapping[str, str]) -> dict[str, str]:
    """Return a worker's variables: ours, and Blender's but what would mislead another Python."""
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONHOME"}
    own = {
        "PYTHONPATH": str(backend_dir),
        "PYTHONDONTWRITEBYTECODE": "1",  # the add-on's folder may be read-only, and stays clean
        "PYTHONUTF8": "1",
    }
    return {**inherited, **own, **extra}


def cannot_start(python: str, error: Exception, remedy: str = "") -> WorkerError:
    """Return what is said of a Python that the system cannot run."""
    return WorkerError(
        "The worker's Python at {python} cannot be started ({reason}). {remedy}",
        python=python,
        reason=error,
        remedy=remedy or say(ANOTHER_PYTHON),
    )


class WorkerClient:
    """One worker process at a time, started when the first job needs it.

    Parameters
    ----------
    python
        The Python that has PyTorch.
    backend_dir
        The folder that holds the package ``backend``.
    env
        Environment variables for the worker besides Blender's own.
    command
        The command line of the worker, `worker_command` of ``python`` if not given.
    start_timeout
        How long the worker may take to say hello, PyTorch's import included [s].
    remedy
        The sentence on what the user can do about a worker that does not start; to choose
        another Python, if not given.

    Attributes
    ----------
    hello
        What the worker said of itself: ``protocol``, ``package``, ``python``, ``torch``,
        ``device``. Empty until a poll finds it, and again when a new worker starts.
    """

    def __init__(
        self,
        python: str,
        backend_dir: Path,
        env: Mapping[str, str] | None = None,
        *,
        command: Sequence[str] | None = None,
        start_timeout: float = 120.0,
        remedy: str = "",
    ) -> None:
        self.hello: dict[str, Any] = {}
        self._python = python
        self._env = worker_environment(backend_dir, env or {})
        self._command = list(command or worker_command(python))
        self._start_timeout = start_timeout
        self._remedy = remedy or say(ANOTHER_PYTHON)
        self._process: _Process | None = None
        self._job: WorkerJob | None = None
        self._leaving: WorkerJob | None = None  # cancelled, but the worker is still in it
        self._jobs_so_far = 0
        self._used = time.monotonic()

    def start(self) -> None:
        """Start a worker unless one runs; return at once, before it is ready.

        Raises
        ------
        WorkerError
            If the system cannot run the command.
        """
        if self.is_running():
            return
        self.hello = {}
        try:
            self._process = _Process(self._command, self._env)
        except (OSError, ValueError) as error:
            self._process = None
            raise cannot_start(self._python, error, self._remedy) from error

    def is_running(self) -> bool:
        """Tell whether there is a worker process, ready or not."""
        return self._process is not None and self._process.is_alive()

    def memory_bytes(self) -> int:
        """Return how much memory the worker holds; 0 without one, or where the system tells it in
        another way than Linux does."""
        return self._process.memory_bytes() if self._process is not None else 0

    def submit(self, name: str, params: dict[str, Any], arrays: wire.Arrays | None = None) -> Job:
        """Hand the worker a job, starting the worker if need be; return at once.

        It waits until the worker has left a job that was cancelled.

        Raises
        ------
        WorkerError
            If the last job still runs, or the worker cannot be started.
        """
        self.poll()
        if self._job is not None and self._job.state == "running":
            if self._job._cancel_deadline is None:
                raise WorkerError("A job is still running. Wait until it ends, or cancel it.")
            self._leaving = self._job
        self.start()
        self._used = time.monotonic()
        self._jobs_so_far += 1
        header = {"type": "job", "id": self._jobs_so_far, "name": name, "params": params}
        self._job = WorkerJob(self, self._jobs_so_far, wire.pack(header, arrays))
        self.poll()
        return self._job

    def idle_seconds(self) -> float:
        """Return for how long no job has run, as far as the calls of this tell.

        Of a job that was given up nobody else may ask how it ended.
        """
        self.poll()
        if self._running_jobs():
            self._used = time.monotonic()
        return time.monotonic() - self._used

    def poll(self) -> None:
        """Take in what the worker has sent so far, and end it if it overran its time."""
        while self._process is not None and (event := self._process.next_event()) is not None:
            self._take(event)
        self._keep_deadlines()
        self._send_waiting_job()

    def close(self) -> None:
        """End the worker and its job; return when the process is gone (about 2 s at most)."""
        process, self._process = self._process, None
        idle = bool(self.hello)
        for job in self._running_jobs():
            job._finish("cancelled")
            idle = False
        if process is not None:
            process.close(SECONDS_TO_END if idle else 0.0)

    def _take(self, event: Message | _Ended) -> None:
        if isinstance(event, _Ended):
            message = self._say_what_ended(event)
            self._lose_worker(message, f"Exit status: {event.status}")
            return
        header, arrays = event
        if not self.hello:
            self._greet(header)
        for job in self._running_jobs():
            if header.get("id") == job._id:
                job._take(header, arrays)

    def _running_jobs(self) -> list[WorkerJob]:
        jobs = (self._leaving, self._job)
        return [job for job in jobs if job is not None and job.state == "running"]

    def _greet(self, header: dict[str, Any]) -> None:
        version = header.get("protocol")
        if header.get("type") == "hello" and version == wire.PROTOCOL:
            self.hello = header
            return
        if header.get("type") == "error":
            self._lose_worker(_told(say, header))
            return
        self._lose_worker(
            say(
                "The worker speaks version {theirs} of the protocol and the add-on version {ours}. "
                "Install the add-on again and restart Blender.",
                theirs=version,
                ours=wire.PROTOCOL,
            ),
            f"Its first message: {header}",
        )

    def _send_waiting_job(self) -> None:
        job = self._job
        if self._leaving is not None and self._leaving.state != "running":
            self._leaving = None
        ready = self._process is not None and self.hello and self._leaving is None
        if ready and job is not None and job._request:
            self._process.send(job._request)
            job._request = None

    def _send(self, header: dict[str, Any]) -> None:
        if self._process is not None:
            self._process.send(wire.pack(header))

    def _keep_deadlines(self) -> None:
        if self._process is None:
            return
        now = time.monotonic()
        if not self.hello and now > self._process.started + self._start_timeout:
            self._lose_worker(
                say(
                    "The worker's Python at {python} did not answer within {seconds:g} seconds. "
                    "{remedy}",
                    python=self._python,
                    seconds=self._start_timeout,
                    remedy=self._remedy,
                )
            )
        if any(job._cancel_deadline and now > job._cancel_deadline for job in self._running_jobs()):
            self._lose_worker(say("The worker did not heed the cancel."))

    def _lose_worker(self, message: str, cause: str = "") -> None:
        """Kill the worker if it still lives, and fail its job; one that only waited for it to leave
        another gets a new worker."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        if self._leaving is not None:
            self._leaving._finish("cancelled")
            self._leaving = None
            self._start_again()
        elif self._job is not None and self._job.state == "running":
            facts = [f"Command: {' '.join(self._command)}", f"Worker: {self.hello or 'no hello'}"]
            tail = process.stderr_tail() or "The worker wrote no error output."
            self._job._finish("failed", message, "\n".join([*facts, cause, "", tail]))

    def _start_again(self) -> None:
        if self._job is None or self._job.state != "running":
            return
        try:
            self.start()
            self._job.message = label(STARTING)
        except WorkerError as error:
            self._job._finish("failed", str(error))

    def _say_what_ended(self, event: _Ended) -> str:
        """Return one sentence on what became of the worker, and what to do about it."""
        last_line = event.stderr.rpartition("\n")[2]
        if event.problem is not None:
            return f"{event.problem} {say('Try again.') if self.hello else self._remedy}"
        if self.hello and event.status == KILLED_FROM_OUTSIDE:
            return say(
                "The system ended the worker, probably because memory ran out. Choose a lower "
                "resolution or close other programs."
            )
        if "Unknown option: -P" in event.stderr:
            return say(
                "The worker's Python at {python} is older than Python 3.11. {remedy}",
                python=self._python,
                remedy=self._remedy,
            )
        if self.hello and event.status == EXIT_NO_MEMORY:
            return say("Memory ran out. Choose a lower resolution or close other programs.")
        if self.hello:
            return say(
                "The worker ended unexpectedly (exit status {status}). Try again.",
                status=event.status,
            )
        return say(
            "The worker's Python at {python} ended before the worker was ready (exit status "
            "{status}, {last_line}). {remedy}",
            python=self._python,
            status=event.status,
            last_line=last_line or say("no error output"),
            remedy=self._remedy,
        )


class WorkerJob(Job):
    """A job that the worker was given; made by `WorkerClient.submit`."""

    def __init__(self, client: WorkerClient, job_id: int, request: bytes) -> None:
        super().__init__(label("Starting") if client.hello else label(STARTING))
        self._client = client
        self._id = job_id
        self._request: bytes | None = request  # None once sent
        self._cancel_deadline: float | None = None

    def poll(self) -> None:
        """Take in what the worker has sent so far; never blocks."""
        self._client.poll()

    def cancel(self) -> None:
        """Ask the worker to stop; go on polling until the state is "cancelled".

        From here on the job ends in no other state: an answer that was on its way is dropped,
        and a worker that does not answer within 2 s is killed.
        """
        if self.state != "running" or self._cancel_deadline is not None:
            return
        self._cancel_deadline = time.monotonic() + SECONDS_TO_HEED_A_CANCEL
        if self._request is not None:
            self._finish("cancelled")
        else:
            self._client._send({"type": "cancel", "id": self._id})

    def settle(self) -> None:
        """Ask the worker, once it has the job, for what it has found by now."""
        if self.state == "running" and self._request is None:
            self._client._send({"type": "settle", "id": self._id})

    def _take(self, header: dict[str, Any], arrays: wire.Arrays) -> None:
        match header.get("type"):
            case "progress" if "preview" in arrays:
                self.preview = arrays["preview"]
            case "progress":
                self.fraction, self.message = header["fraction"], _told(label, header)
            case "result":
                self.values, self.arrays = header["values"], arrays
                self._finish("done")
            case "error" if header["kind"] == "cancelled":
                self._finish("cancelled")
            case "error":
                self._finish("failed", _told(say, header), header["details"])

    def _finish(self, state: State, error: str = "", details: str = "") -> None:
        self._request = None
        if self._cancel_deadline is not None:
            state, error, details = "cancelled", "", ""
        self.state, self.error, self.details = state, error, details


def _told(translate: Callable[..., str], header: Mapping[str, Any]) -> str:
    """Return what the worker says, in the user's language; with values it is a template."""
    return translate(header["message"], **header.get("values", {}))


@dataclass(frozen=True)
class _Ended:
    """The last event of a worker: it is gone."""

    status: int
    stderr: str
    problem: WorkerError | None  # if what it sent was at fault


class _Process:
    """A running worker, its pipes, and the threads that keep them from blocking anyone."""

    def __init__(self, command: list[str], env: dict[str, str]) -> None:
        self.started = time.monotonic()
        self._stderr = b""
        self._events: queue.SimpleQueue[Message | _Ended] = queue.SimpleQueue()
        self._outgoing: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._popen = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=env,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),  # exists on Windows only
        )
        self._error_reader = _start_thread(self._read_stderr)
        self._reader = _start_thread(self._read)
        self._writer = _start_thread(self._write)

    def is_alive(self) -> bool:
        return self._popen.poll() is None

    def memory_bytes(self) -> int:
        try:
            pages = Path(f"/proc/{self._popen.pid}/statm").read_text("ascii").split()[1]
        except OSError:
            return 0
        return int(pages) * mmap.PAGESIZE

    def next_event(self) -> Message | _Ended | None:
        try:
            return self._events.get_nowait()
        except queue.Empty:
            return None

    def send(self, message: bytes) -> None:
        self._outgoing.put(message)

    def stderr_tail(self) -> str:
        return self._stderr.decode(errors="replace").strip()

    def kill(self) -> None:
        self._popen.kill()
        # Should Python be behind a launcher that alone was killed, the end of stdin ends it.
        self._outgoing.put(None)

    def close(self, patience: float) -> None:
        """End the worker by the end of its stdin, or kill it after so many seconds."""
        self._outgoing.put(None)
        try:
            self._popen.wait(patience)
        except subprocess.TimeoutExpired:
            self.kill()
        self._reader.join(SECONDS_TO_END)  # it waits for the process, so that no zombie stays

    def _write(self) -> None:
        assert self._popen.stdin is not None
        try:
            with self._popen.stdin as stream:
                while (message := self._outgoing.get()) is not None:
                    stream.write(message)
                    stream.flush()
        except OSError:
            pass  # the worker is gone: the thread that reads its answers reports that

    def _read(self) -> None:
        assert self._popen.stdout is not None
        problem = None
        with self._popen.stdout as stream:
            try:
                while True:
                    self._events.put(wire.read_message(stream))
            except EOFError:
                pass  # what it died of stands in its exit status and on its stderr
            except (OSError, wire.ProtocolError) as error:
                problem = WorkerError(
                    "The worker sent something that is not a message ({reason}).", reason=error
                )
            except MemoryError:
                problem = WorkerError("Memory ran out in Blender. Choose a lower resolution.")
        self._events.put(self._wait_for_end(problem))

    def _wait_for_end(self, problem: WorkerError | None) -> _Ended:
        self._outgoing.put(None)
        try:
            self._popen.wait(SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            problem = problem or WorkerError("The worker closed its output.")
            self.kill()
        status = self._popen.wait()
        self._error_reader.join(SECONDS_TO_END)
        return _Ended(status, self.stderr_tail(), problem)

    def _read_stderr(self) -> None:
        """Keep the tail of the worker's stderr, which would block it if nobody read."""
        assert self._popen.stderr is not None
        with self._popen.stderr as stream:
            while chunk := os.read(stream.fileno(), STDERR_TAIL_BYTES):
                self._stderr = (self._stderr + chunk)[-STDERR_TAIL_BYTES:]


def _start_thread(target: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=target, name="ImFace worker", daemon=True)
    thread.start()
    return thread
