# SPDX-License-Identifier: GPL-3.0-or-later
"""The true worker, with the bundled weights, killed, stalled, starved and shouted at. After each
fault the next job makes the same face as before."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.addon.without_bpy import import_without_bpy

resource = pytest.importorskip("resource")  # Windows has none

ROOT = Path(__file__).resolve().parents[2]
HAS_WEIGHTS = any((ROOT / "weights").glob("*.safetensors"))
MANY_JOBS = int(os.environ.get("IMFACE_TEST_JOBS", "200"))
MANY_CANCELS = int(os.environ.get("IMFACE_TEST_CANCELS", "30"))
STALL_S = float(os.environ.get("IMFACE_TEST_STALL", "1"))
MB = 2**20

pytestmark = [
    pytest.mark.real_worker,
    pytest.mark.skipif(not HAS_WEIGHTS, reason="weights/ holds no model"),
    pytest.mark.skipif(sys.platform != "linux", reason="the faults are Linux's"),
]

worker_client = import_without_bpy("worker_client")
wire = import_without_bpy("wire")

SMALL = {"seed": 1, "topology": "surface", "resolution": 16}
LONG = {"seed": 1, "topology": "surface", "resolution": 256}
NO_MEMORY = "Memory ran out. Choose a lower resolution or close other programs."


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    """Return a client whose worker only those tests replace that lose it."""
    client = worker_client.WorkerClient(sys.executable, ROOT)
    yield client
    client.close()


@pytest.fixture(scope="module")
def face(client: Any) -> np.ndarray:
    """Return the vertices of the face that every job `SMALL` has to give."""
    job = _run(client)
    assert (job.state, job.error) == ("done", "")
    return np.array(job.arrays["vertices_mm"])


@pytest.fixture
def pid(client: Any, face: np.ndarray) -> int:
    """Return the process id of a worker that is ready and idle."""
    _assert_works(client, face)
    return _pid(client)


def _run(client: Any, name: str = "generate", params: Any = SMALL, **arrays: np.ndarray) -> Any:
    job = client.submit(name, params, arrays)
    _wait_for(lambda: job.state != "running", job)
    return job


def _wait_for(condition: Callable[[], bool], job: Any, seconds: float = 120) -> float:
    """Poll until the condition holds; return how long it took, and check that no poll waits [s]."""
    start = now = time.monotonic()
    while not condition():
        assert now < start + seconds, job.message
        time.sleep(0.001)
        before = time.monotonic()
        job.poll()
        now = time.monotonic()
        assert now - before < 5  # a fraction of a millisecond, but a busy computer may take a nap
    return now - start


def _assert_works(client: Any, face: np.ndarray) -> None:
    job = _run(client)
    assert job.state == "done", f"{job.error}\n{job.details}"
    np.testing.assert_allclose(job.arrays["vertices_mm"], face, atol=1e-3)


def _start_long_job(client: Any) -> Any:
    """Return a job in the middle of its work, with seconds of work ahead."""
    job = client.submit("generate", LONG)
    _wait_for(lambda: job.fraction == 0.5, job)
    assert job.state == "running"
    return job


def _pid(client: Any) -> int:
    return int(client._process._popen.pid)


def _is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def _memory(pid: int, which: str) -> int:
    """Return VmSize or VmRSS of a process [bytes]."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(which))


@contextmanager
def _limited(pid: int, kind: int, limit: int) -> Iterator[None]:
    before = resource.prlimit(pid, kind)
    resource.prlimit(pid, kind, (limit, before[1]))
    yield
    if not _is_gone(pid):
        resource.prlimit(pid, kind, before)


def _kill_before_the_first_report(client: Any, pid: int, monkeypatch: pytest.MonkeyPatch) -> Any:
    os.kill(pid, signal.SIGSTOP)
    job = client.submit("generate", LONG)
    os.kill(pid, signal.SIGKILL)
    return job


def _kill_in_the_middle(client: Any, pid: int, monkeypatch: pytest.MonkeyPatch) -> Any:
    job = _start_long_job(client)
    os.kill(pid, signal.SIGKILL)
    return job


def _kill_within_the_result(client: Any, pid: int, monkeypatch: pytest.MonkeyPatch) -> Any:
    read_array = wire._npy_array

    def kill_and_read(data: bytes) -> np.ndarray:
        os.kill(pid, signal.SIGKILL)
        return read_array(data)  # type: ignore[no-any-return]

    monkeypatch.setattr(wire, "_npy_array", kill_and_read)
    job = client.submit("generate", {"seed": 1, "topology": "head"})  # many times a pipe's buffer
    _wait_for(lambda: job.state != "running", job)
    monkeypatch.undo()
    return job


@pytest.mark.parametrize(
    "kill", [_kill_before_the_first_report, _kill_in_the_middle, _kill_within_the_result]
)
def test_a_killed_worker(
    client: Any, face: np.ndarray, pid: int, kill: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = kill(client, pid, monkeypatch)
    _wait_for(lambda: job.state != "running", job)
    assert job.state == "failed"
    assert job.error.startswith("The system ended the worker, probably because memory ran out. ")
    assert "Exit status: -9" in job.details
    assert job.arrays == {}
    _assert_works(client, face)


def test_a_worker_that_is_killed_while_it_fits(client: Any, face: np.ndarray) -> None:
    made = _run(client, params=SMALL | {"resolution": 64}).arrays
    job = client.submit(
        "fit", SMALL, {"vertices": made["vertices_mm"], "triangles": made["polygons"]}
    )
    _wait_for(lambda: job.message.startswith("Fitting: "), job)
    os.kill(_pid(client), signal.SIGKILL)
    _wait_for(lambda: job.state != "running", job)
    assert (job.state, job.arrays) == ("failed", {})
    assert "Exit status: -9" in job.details
    _assert_works(client, face)


def test_memory_that_runs_out_in_a_job_keeps_the_worker(
    client: Any, face: np.ndarray, pid: int
) -> None:
    with _limited(pid, resource.RLIMIT_AS, _memory(pid, "VmSize") + 16 * MB):
        job = _run(client, params=LONG)
    assert (job.state, job.error) == ("failed", NO_MEMORY)
    assert "Traceback" in job.details
    _assert_works(client, face)
    assert _pid(client) == pid


def test_memory_that_runs_out_while_a_job_is_received(
    client: Any, face: np.ndarray, pid: int
) -> None:
    with _limited(pid, resource.RLIMIT_AS, _memory(pid, "VmSize") + 16 * MB):
        job = _run(client, "fit", vertices=np.zeros(32 * MB))
    assert (job.state, job.error) == ("failed", NO_MEMORY)
    _assert_works(client, face)


def test_memory_that_runs_out_in_blender(
    client: Any, face: np.ndarray, pid: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(data: bytes) -> None:
        raise MemoryError

    monkeypatch.setattr(wire, "_npy_array", fail)
    job = _run(client)
    monkeypatch.undo()
    assert job.state == "failed"
    assert job.error.startswith("Memory ran out in Blender. Choose a lower resolution")
    _assert_works(client, face)


def test_a_full_disk_does_not_concern_the_worker(client: Any, face: np.ndarray, pid: int) -> None:
    with _limited(pid, resource.RLIMIT_FSIZE, 0):
        _assert_works(client, face)
        assert _run(client, params={"seed": 1, "topology": "head"}).state == "done"
    assert _pid(client) == pid


def test_garbage_on_its_stdout(client: Any, face: np.ndarray, pid: int) -> None:
    job = _start_long_job(client)
    pipe = os.readlink(f"/proc/self/fd/{client._process._popen.stdout.fileno()}")
    ends = [end for end in Path(f"/proc/{pid}/fd").iterdir() if os.readlink(end) == pipe]
    with ends[0].open("wb", buffering=0) as stdout:
        stdout.write(b"epoch 1: loss 0.5\n")
    _wait_for(lambda: job.state != "running", job)
    assert job.state == "failed"
    assert "The worker sent something that is not a message" in job.error
    assert job.error.endswith(" Try again.")
    _assert_works(client, face)
    assert _is_gone(pid)


def test_a_stall_that_ends_costs_nothing_but_time(client: Any, pid: int) -> None:
    job = _start_long_job(client)
    os.kill(pid, signal.SIGSTOP)
    stalled = time.monotonic() + STALL_S
    _wait_for(lambda: time.monotonic() > stalled, job)
    assert (job.state, job.fraction) == ("running", 0.5)
    os.kill(pid, signal.SIGCONT)
    _wait_for(lambda: job.state != "running", job)
    assert job.state == "done"
    assert _pid(client) == pid


def test_a_stall_can_be_cancelled(client: Any, face: np.ndarray, pid: int) -> None:
    job = _start_long_job(client)
    os.kill(pid, signal.SIGSTOP)
    job.cancel()
    print(f"Cancelled after {_wait_for(lambda: job.state != 'running', job):.2f} s")
    assert (job.state, job.error) == ("cancelled", "")
    _assert_works(client, face)
    assert _is_gone(pid)


def test_the_next_job_waits_until_a_cancelled_one_is_left(
    client: Any, face: np.ndarray, pid: int
) -> None:
    for _ in range(2):
        job = _start_long_job(client)
        job.cancel()
        _assert_works(client, face)
        assert job.state == "cancelled"


def test_cancels_at_random_moments(client: Any, face: np.ndarray, pid: int) -> None:
    rng = np.random.default_rng(1)
    took, pids = [], {pid}
    for number in range(MANY_CANCELS):
        params = (SMALL, LONG, {"seed": 1, "topology": "head"})[number % 3]
        job = client.submit("generate", params)
        moment = time.monotonic() + rng.uniform(0, 0.2)
        _wait_for(lambda moment=moment: time.monotonic() > moment, job)  # type: ignore[misc]
        job.cancel()
        took.append(_wait_for(lambda job=job: job.state != "running", job))  # type: ignore[misc]
        assert job.state in ("cancelled", "done")
        pids.add(_pid(client) if client._process else 0)
    print(f"Cancels took {np.mean(took):.2f} s, at most {max(took):.2f} s; workers: {len(pids)}")
    _assert_works(client, face)


def test_many_jobs_in_a_row_take_no_more_memory(client: Any, face: np.ndarray, pid: int) -> None:
    def run(count: int) -> int:
        for number in range(count):
            job = _run(client) if number % 5 == 0 else _run(client, "info", {}, a=np.zeros(10_000))
            assert job.state == "done"
        return _memory(pid, "VmRSS")

    sizes, threads = [run(50)], threading.active_count()
    sizes += [run(MANY_JOBS // 2) for _ in range(2)]
    # What leaks does so in both halves; the allocator's late warming up is in one.
    grown = 2 * int(np.diff(sizes).min())
    print(f"{MANY_JOBS} jobs: the worker grew by {grown / MB:.1f} MB")
    assert grown < 16 * MB
    assert _pid(client) == pid
    assert threading.active_count() == threads


def test_two_blenders_at_once(client: Any, face: np.ndarray, pid: int) -> None:
    other = worker_client.WorkerClient(sys.executable, ROOT)
    try:
        jobs = [one.submit("generate", SMALL) for one in (client, other)]
        for job in jobs:
            _wait_for(lambda job=job: job.state != "running", job)  # type: ignore[misc]
            np.testing.assert_allclose(job.arrays["vertices_mm"], face, atol=1e-3)
        job = _start_long_job(client)
        os.kill(_pid(other), signal.SIGKILL)
        _wait_for(lambda: job.state != "running", job)
        assert job.state == "done"
        assert _pid(client) == pid
    finally:
        other.close()


@pytest.mark.parametrize("when", ["while its worker starts", "in a job"])
def test_a_killed_blender_takes_its_worker_along(when: str) -> None:
    program = f"""
import importlib, sys, time, types
package = types.ModuleType("p"); package.__path__ = [{str(ROOT / "imface_blender")!r}]
sys.modules["p"] = package
client = importlib.import_module("p.worker_client").WorkerClient(sys.executable, {str(ROOT)!r})
job = client.submit("generate", {LONG!r})
while job.fraction < 0.5 and {when == "in a job"}:
    job.poll()
    time.sleep(0.001)
print(client._process._popen.pid, flush=True)
time.sleep(600)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as blender:
        assert blender.stdout is not None
        worker = int(blender.stdout.readline())
        if when != "in a job":  # it listens as soon as its Python runs
            interrupts = Path(f"/proc/{worker}/status")
            while "SigCgt:\t0000000000000000" in interrupts.read_text():
                time.sleep(0.01)
        assert not _is_gone(worker)
        blender.kill()
        start = time.monotonic()
        while not _is_gone(worker):
            assert time.monotonic() < start + 20
            time.sleep(0.01)
    print(f"Gone after {time.monotonic() - start:.2f} s")


WITHOUT_PRIVILEGES = """
import ctypes, os, runpy, sys
version, none = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
assert ctypes.CDLL(None).capset(version, none) == 0  # root, too, has to heed a folder's mode now
assert not os.access(sys.argv[1], os.W_OK, effective_ids=True)
sys.argv = ["backend", "serve"]
runpy.run_module("backend", run_name="__main__", alter_sys=True)
"""


@pytest.fixture
def read_only_extension(tmp_path: Path) -> Iterator[Path]:
    """Return a copy of the backend, its folders and files read-only."""
    folder = tmp_path / "Zusätze für Blender" / "imface blender"
    no_bytecode = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "backend", folder / "backend", ignore=no_bytecode)
    shutil.copy(ROOT / "blender_manifest.toml", folder)
    (folder / "weights").mkdir()
    for path in (ROOT / "weights").iterdir():
        (folder / "weights" / path.name).symlink_to(path)
    inside = [folder, *(path for path in folder.rglob("*") if not path.is_symlink())]
    for path in inside:
        path.chmod(0o555 if path.is_dir() else 0o444)
    yield folder
    for path in inside:
        path.chmod(0o755)


def test_a_read_only_folder_with_spaces_and_umlauts(
    face: np.ndarray, read_only_extension: Path
) -> None:
    before = sorted(read_only_extension.rglob("*"))
    command = [sys.executable, "-P", "-c", WITHOUT_PRIVILEGES, str(read_only_extension)]
    client = worker_client.WorkerClient(sys.executable, read_only_extension, command=command)
    try:
        _assert_works(client, face)
    finally:
        client.close()
    assert sorted(read_only_extension.rglob("*")) == before
