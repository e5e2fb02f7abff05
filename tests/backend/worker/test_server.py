# SPDX-License-Identifier: GPL-3.0-or-later
"""The server in a true child process, spoken to over its pipes."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

import numpy as np
import pytest

from backend import __version__
from backend.worker.protocol import pack, read_message
from backend.worker.server import _device

ROOT = Path(__file__).resolve().parents[3]

JOBS = """
import os, subprocess, sys, time
from backend.errors import BackendError
from backend.texts import Text
from backend.worker.server import serve
import numpy as np

def scale(params, arrays, report):
    report(np.float32(0.5), Text("Scaling by {by}", by=params["by"]))
    report(preview=arrays["x"])
    return {"name": params["name"]}, {"x": params["by"] * arrays["x"]}

def print_a_lot(params, arrays, report):
    print("from Python", flush=True)
    os.write(1, b"from a library")
    subprocess.run([sys.executable, "-c", "print('from a child', repr(input() or 1))"])
    return {"stdin": sys.stdin.read()}, {}

def count(params, arrays, report):
    for step in range(10_000):
        report(step / 10_000, f"Step {step}")
        time.sleep(0.01)
    return {}, {}

def search(params, arrays, report):
    for step in range(params.get("steps", 10_000)):
        if report(step / 10_000, "Searching"):
            return {"settled": True}, {}
        time.sleep(0.01)
    return {"settled": False}, {}

def compute(params, arrays, report):
    report(0.1, "Computing")
    end = time.monotonic() + 60
    while time.monotonic() < end:
        pass
    return {}, {}

def hang(params, arrays, report):
    report(0.1, "Hanging")
    time.sleep(60)
    return {}, {}

def refuse(params, arrays, report):
    raise BackendError("The scan has {count} faces. Select a mesh.", count=0)

def refuse_braces(params, arrays, report):
    raise BackendError("{'a'} is no name. Choose another.")

def crash(params, arrays, report):
    raise ZeroDivisionError("by nought\\nand more")

def run_out_of_memory(params, arrays, report):
    np.zeros(2**50)

def return_no_json(params, arrays, report):
    return {"x": object()}, {}

def segfault(params, arrays, report):
    import ctypes
    ctypes.string_at(0)

def exhaust_torch(params, arrays, report):
    import torch
    torch.empty(2**50)

sys.exit(serve(jobs={name: f for name, f in globals().items() if callable(f)}))
"""


class Server:
    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.stdin: IO[bytes] = self.process.stdin
        self.stdout: IO[bytes] = self.process.stdout
        self.stderr: IO[bytes] = self.process.stderr

    def send(self, header: dict[str, Any], **arrays: np.ndarray) -> None:
        self.stdin.write(pack(header, arrays))
        self.stdin.flush()

    def read(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        return read_message(self.stdout)

    def run(self, name: str, job_id: int = 1, **params: Any) -> dict[str, Any]:
        """Run a job; return the header of its answer."""
        self.send({"type": "job", "id": job_id, "name": name, "params": params})
        while (header := self.read()[0])["type"] == "progress":
            pass
        return header


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server("-c", JOBS)
    assert server.read()[0]["type"] == "hello"
    with server.process:
        yield server
        server.process.kill()


def test_a_gpu_is_told_with_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    card = SimpleNamespace(name="NVIDIA Something", total_memory=25_757_220_864)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.get_device_properties", lambda: card)
    assert _device() == "NVIDIA Something (24 GB)"


def test_hello_of_the_true_command() -> None:
    server = Server("-P", "-m", "backend", "serve")
    with server.process:
        header, arrays = server.read()
        assert (header["type"], header["protocol"]) == ("hello", 1)
        assert header["package"] == __version__
        assert header["python"].startswith("3.")
        assert header["torch"]
        assert header["device"]
        assert arrays == {}
        server.send({"type": "quit"})
        assert server.process.wait(10) == 0


def test_a_job_reports_and_answers(server: Server) -> None:
    params = {"name": "Anna", "by": 3}
    server.send({"type": "job", "id": 5, "name": "scale", "params": params}, x=np.array([1, 2]))
    assert server.read()[0] == {"type": "progress", "id": 5, "fraction": 0, "message": "Starting"}
    assert server.read()[0] == {
        "type": "progress",
        "id": 5,
        "fraction": 0.5,
        "message": "Scaling by {by}",
        "values": {"by": "3"},
    }
    header, arrays = server.read()
    assert header == {"type": "progress", "id": 5}
    np.testing.assert_array_equal(arrays["preview"], [1, 2])
    header, arrays = server.read()
    assert header == {"type": "result", "id": 5, "values": {"name": "Anna"}}
    np.testing.assert_array_equal(arrays["x"], [3, 6])


def test_whatever_prints_does_not_disturb_the_protocol(server: Server) -> None:
    assert server.run("print_a_lot")["values"] == {"stdin": ""}
    server.stdin.close()
    errors = server.stderr.read().decode()
    assert "from Python" in errors
    assert "from a library" in errors
    assert "EOFError" in errors  # the child's input() found no stdin to take messages from


def test_a_cancel_stops_the_job_and_the_next_one_runs(server: Server) -> None:
    server.send({"type": "job", "id": 1, "name": "count", "params": {}})
    server.send({"type": "job", "id": 2, "name": "count", "params": {}})
    for _ in range(3):
        assert server.read()[0]["type"] == "progress"
    server.send({"type": "cancel", "id": 2})
    server.send({"type": "cancel", "id": 1})
    answers: list[dict[str, Any]] = []
    while len(answers) < 2:
        if (header := server.read()[0])["type"] != "progress":
            answers.append(header)
    assert [(a["type"], a["kind"], a["id"]) for a in answers] == [
        ("error", "cancelled", 1),
        ("error", "cancelled", 2),
    ]
    assert server.run("refuse", 3)["kind"] == "user"


def test_a_job_is_told_that_it_is_settled(server: Server) -> None:
    server.send({"type": "job", "id": 1, "name": "search", "params": {}})
    while server.read()[0]["message"] != "Searching":
        pass
    server.send({"type": "settle", "id": 1})
    while (answer := server.read()[0])["type"] == "progress":
        pass
    assert (answer["type"], answer["values"]["settled"]) == ("result", True)
    server.send({"type": "job", "id": 2, "name": "search", "params": {"steps": 3}})
    while (answer := server.read()[0])["type"] == "progress":
        pass
    assert answer["values"]["settled"] is False


def _cancel_by(server: Server, job_id: int) -> None:
    server.send({"type": "cancel", "id": job_id})


def _ctrl_c(server: Server, _: int) -> None:
    server.process.send_signal(signal.SIGINT)


def _ctrl_c_and_cancel(server: Server, job_id: int) -> None:
    _ctrl_c(server, job_id)
    _cancel_by(server, job_id)


ENDS = [_cancel_by] if os.name == "nt" else [_cancel_by, _ctrl_c, _ctrl_c_and_cancel]


@pytest.mark.parametrize("end", ENDS)
def test_a_cancel_and_ctrl_c_need_no_report(
    server: Server, end: Callable[[Server, int], None]
) -> None:
    for number in (1, 2):
        server.send({"type": "job", "id": number, "name": "compute", "params": {}})
        while server.read()[0]["message"] != "Computing":
            pass
        end(server, number)
        answer = server.read()[0]
        assert (answer["type"], answer["kind"], answer["id"]) == ("error", "cancelled", number)


def test_neither_ctrl_c_nor_a_late_cancel_is_of_the_next_job(server: Server) -> None:
    assert server.run("search", 1, steps=0)["type"] == "result"
    server.send({"type": "cancel", "id": 1})
    if os.name != "nt":
        _ctrl_c(server, 1)
    server.send({"type": "cancel", "id": 3})
    assert server.run("search", 2, steps=20)["type"] == "result"


def test_errors_say_whose_they_are(server: Server) -> None:
    assert server.run("refuse") == {
        "type": "error",
        "id": 1,
        "kind": "user",
        "message": "The scan has {count} faces. Select a mesh.",
        "values": {"count": "0"},
        "details": "",
    }
    braces = server.run("refuse_braces")
    assert braces["message"] == "{'a'} is no name. Choose another."
    assert "values" not in braces
    crash = server.run("crash")
    assert crash["kind"] == "internal"
    assert crash["message"].endswith("unexpected error ({kind}: {reason}).")
    assert crash["values"] == {"kind": "ZeroDivisionError", "reason": "by nought"}
    assert "Traceback" in crash["details"]
    assert "and more" in crash["details"]
    assert server.run("return_no_json")["kind"] == "internal"
    assert "no such job" in server.run("no such job")["values"]["reason"]


@pytest.mark.parametrize("job", ["run_out_of_memory", "exhaust_torch"])
def test_a_lack_of_memory_is_for_the_user(server: Server, job: str) -> None:
    answer = server.run(job)
    assert answer["kind"] == "user"
    assert answer["message"].startswith("Memory ran out. Choose a lower resolution")


@pytest.mark.skipif(os.name == "nt", reason="Windows turns it into an exception")
def test_a_crash_of_native_code_leaves_a_traceback(server: Server) -> None:
    with pytest.raises(EOFError):
        server.run("segfault")
    assert "in segfault" in server.stderr.read().decode()


@pytest.mark.parametrize("job", [None, "count", "hang"], ids=["idle", "busy", "hung"])
@pytest.mark.parametrize("by", ["quit", "end of stdin"])
def test_the_process_ends(server: Server, job: str | None, by: str) -> None:
    if job is not None:
        server.send({"type": "job", "id": 1, "name": job, "params": {}})
        server.read()
    if by == "quit":
        server.send({"type": "quit"})
    else:
        server.stdin.close()
    assert server.process.wait(10) == 0


def test_garbage_on_stdin_ends_the_process_with_a_word(server: Server) -> None:
    server.stdin.write(b"GET / HTTP/1.1\r\n\r\n")
    server.stdin.flush()
    assert server.process.wait(10) == 0
    assert "not a message" in server.stderr.read().decode()


def test_it_survives_that_nobody_reads_its_answers(server: Server) -> None:
    server.send({"type": "job", "id": 1, "name": "count", "params": {}})
    server.stdout.close()
    assert server.process.wait(10) == 0
    assert "connection to Blender was lost" in server.stderr.read().decode()


@pytest.mark.parametrize(
    ("module", "title", "package"),
    [("torch", "PyTorch", "torch"), ("skimage", "scikit-image", "scikit-image")],
)
def test_a_missing_package_is_said_instead_of_hello(module: str, title: str, package: str) -> None:
    program = f"""
import sys, types
sys.modules[{module!r}] = None
jobs = types.ModuleType("jobs"); jobs.__getattr__ = lambda name: __import__({module!r})
sys.modules["backend.worker.jobs"] = jobs
from backend.worker.server import serve
sys.exit(serve())
"""
    server = Server("-c", program)
    with server.process:
        header, _ = server.read()
        assert server.process.wait(10) == 1
        assert server.stderr.read() == b""
    assert header["type"] == "error"
    assert header["message"].startswith("The worker's Python at {python} has no {title}. Install")
    assert header["values"] == {"python": sys.executable, "title": title, "package": package}


def test_what_windows_lacks_for_pytorch_is_said_instead_of_hello() -> None:
    """PyTorch's wheel leaves Microsoft's C++ library to the system, and Blender's is its own."""
    program = """
import sys, types
def load(name):
    error = OSError('Error loading "c10.dll" or one of its dependencies.')
    error.winerror = 126
    raise error
torch = types.ModuleType("torch"); torch.__getattr__ = load
sys.modules["torch"] = torch
from backend.worker.server import serve
sys.exit(serve(jobs={}))
"""
    server = Server("-c", program)
    with server.process:
        header, _ = server.read()
        assert server.process.wait(10) == 1
        assert server.stderr.read() == b""
    assert header["message"].endswith("Visual C++ Redistributable for x64 and try again.")
    assert header["values"]["reason"] == 'Error loading "c10.dll" or one of its dependencies.'
