# SPDX-License-Identifier: GPL-3.0-or-later
"""The client against workers that hang, die, print garbage or speak another version. No bpy."""

import gc
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.addon.without_bpy import import_without_bpy

ROOT = Path(__file__).resolve().parents[2]
FAKE_WORKER = Path(__file__).parent / "fake_workers" / "fake_worker.py"


worker_client = import_without_bpy("worker_client")

MakeClient = Callable[..., Any]


@pytest.fixture
def make_client() -> Iterator[MakeClient]:
    clients = []

    def make(behaviour: str, **options: Any) -> Any:
        command = [sys.executable, str(FAKE_WORKER), behaviour]
        clients.append(worker_client.WorkerClient("/py", ROOT, command=command, **options))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


def _run(client: Any, **arrays: np.ndarray) -> Any:
    job = client.submit("any", {}, arrays)
    job.wait()
    return job


def _wait_for(condition: Callable[[], Any], poll: Callable[[], None], seconds: float = 20) -> float:
    """Return how long it took until the condition held [s]."""
    start = time.monotonic()
    while not condition():
        assert time.monotonic() < start + seconds
        poll()
        time.sleep(0.01)
    return time.monotonic() - start


def _is_gone(pid: int) -> bool:
    """Tell whether no process has this id, not even a zombie."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_parameters_and_arrays_go_there_and_back(make_client: MakeClient) -> None:
    client = make_client("echo")
    arrays: dict[str, np.ndarray] = {
        "vertices": np.arange(12, dtype=np.float64).reshape(4, 3),
        "polygons": np.array([[0, 1, 2, -1]], dtype=np.int32),
        "nothing": np.zeros((0, 3), dtype=np.float32),
    }
    news: list[tuple[float, str]] = []
    job = client.submit("blend", {"weight": 0.5, "what": "é"}, arrays)
    assert client.hello == {}
    job.wait(lambda fraction, message: news.append((fraction, message)))
    assert (job.state, job.error, job.details, job.fraction) == ("done", "", "", 0.5)
    assert job.values == {"name": "blend", "params": {"weight": 0.5, "what": "é"}}
    assert list(job.arrays) == list(arrays)
    for name, array in arrays.items():
        assert job.arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(job.arrays[name], array)
    assert news[0] == (0.0, "Starting the worker")
    assert client.hello["protocol"] == 1


def test_large_arrays_do_not_block_either_end(make_client: MakeClient) -> None:
    array = np.random.default_rng(1).random((2_000_000,))  # 16 MB: far above a pipe's buffer
    start = time.monotonic()
    job = make_client("echo").submit("any", {}, {"a": array})
    assert time.monotonic() - start < 1
    job.wait()
    np.testing.assert_array_equal(job.arrays["a"], array)


def test_one_worker_serves_many_jobs(make_client: MakeClient) -> None:
    client = make_client("echo")
    assert client.submit("any", {}).message == "Starting the worker"
    client._job.wait()
    pid = client.hello["pid"]
    job = client.submit("any", {})
    assert job.message == "Starting"  # and not the worker, which runs already
    job.wait()
    assert job.state == "done"
    assert client.hello["pid"] == pid


def test_only_one_job_at_a_time(make_client: MakeClient) -> None:
    client = make_client("ignore_cancel")
    client.submit("any", {})
    with pytest.raises(worker_client.WorkerError, match="still running"):
        client.submit("any", {})


def test_a_worker_started_early_is_used(make_client: MakeClient) -> None:
    client = make_client("echo")
    client.start()
    _wait_for(lambda: client.hello, client.poll)
    pid = client.hello["pid"]
    assert _run(client).state == "done"
    assert client.hello["pid"] == pid


@pytest.mark.parametrize(
    ("behaviour", "sentence", "details"),
    [
        ("die_at_once", "/py ended before the worker was ready (exit status 1, no room", "no room"),
        ("lack_torch", "This Python has no PyTorch. Install it.", "no hello"),
        ("be_an_old_python", "/py is older than Python 3.11. Choose", "Unknown option"),
        ("print_garbage_at_once", "sent something that is not a message", "no hello"),
        ("speak_another_version", "speaks version 99 of the protocol and the add-on version 1", ""),
    ],
)
def test_a_worker_that_never_gets_ready(
    make_client: MakeClient, behaviour: str, sentence: str, details: str
) -> None:
    job = _run(make_client(behaviour))
    assert job.state == "failed"
    assert sentence in job.error
    assert "\n" not in job.error
    assert details in job.details


def test_a_worker_that_never_says_hello(make_client: MakeClient) -> None:
    job = _run(make_client("hang_at_once", start_timeout=3))
    assert job.state == "failed"
    assert "did not answer within 3 seconds" in job.error
    assert "warming up for ever" in job.details


def test_a_python_that_is_not_there() -> None:
    client = worker_client.WorkerClient("/no/such/python", ROOT)
    with pytest.raises(worker_client.WorkerError, match="/no/such/python cannot be started"):
        client.submit("any", {})


@pytest.mark.parametrize(
    ("behaviour", "sentence", "details"),
    [
        ("die_in_job", "ended unexpectedly (exit status 7)", "last words"),
        ("die_within_a_message", "ended unexpectedly (exit status 7)", "no error output"),
        ("print_garbage_in_job", "sent something that is not a message", "fake_worker.py"),
        pytest.param(
            *("be_killed_in_job", "memory ran out", "Exit status: -9"),
            marks=pytest.mark.skipif(os.name == "nt", reason="Windows has no signal 9"),
        ),
    ],
)
def test_a_worker_lost_in_a_job_fails_it_and_the_next_job_gets_a_new_one(
    make_client: MakeClient, behaviour: str, sentence: str, details: str
) -> None:
    client = make_client(behaviour)
    job = _run(client)
    first = client.hello["pid"]
    assert job.state == "failed"
    assert sentence in job.error
    assert details in job.details
    _run(client)
    assert client.hello["pid"] != first
    assert _is_gone(first)


def test_a_worker_that_died_between_two_jobs_is_replaced(make_client: MakeClient) -> None:
    client = make_client("echo")
    _run(client)
    first = client.hello["pid"]
    client._process._popen.kill()
    client._process._popen.wait()
    assert _run(client).state == "done"
    assert client.hello["pid"] != first


def test_a_heeded_cancel_keeps_the_worker(make_client: MakeClient) -> None:
    client = make_client("heed_cancel")
    pids = [_cancel_once(client), _cancel_once(client)]
    assert pids[0] == pids[1]


def _cancel_once(client: Any) -> int:
    job = client.submit("any", {})
    _wait_for(lambda: job.message == "Listening", job.poll)
    job.cancel()
    assert _wait_for(lambda: job.state == "cancelled", job.poll) < 1
    assert (job.error, job.details) == ("", "")
    return int(client.hello["pid"])


@pytest.mark.parametrize("behaviour", ["ignore_cancel", "never_read"])
def test_a_cancel_that_is_ignored_kills_the_worker_after_two_seconds(
    make_client: MakeClient, behaviour: str
) -> None:
    client = make_client(behaviour)
    job = client.submit("any", {}, {"a": np.zeros(1_000_000)})
    _wait_for(lambda: client.hello and job._request is None, job.poll)
    pid = client.hello["pid"]
    job.cancel()
    assert job.state == "running"
    assert _wait_for(lambda: job.state != "running", job.poll) > 1.9
    assert job.state == "cancelled"
    _wait_for(lambda: _is_gone(pid), client.poll, 2)


def _half_done(client: worker_client.WorkerClient) -> worker_client.Job:
    job = client.submit("any", {})
    _wait_for(lambda: job.fraction == 0.5, job.poll)
    return job


@pytest.mark.parametrize("behaviour", ["heed_cancel", "ignore_cancel"])
def test_a_job_that_was_given_up_ends_without_being_asked(
    make_client: MakeClient, behaviour: str
) -> None:
    client = make_client(behaviour)
    job = _half_done(client)
    pid = client.hello["pid"]
    job.cancel()
    _wait_for(lambda: job.state == "cancelled", client.idle_seconds)
    if behaviour == "ignore_cancel":
        _wait_for(lambda: _is_gone(pid), client.idle_seconds)
    assert _is_gone(pid) == (behaviour == "ignore_cancel")


@pytest.mark.parametrize("behaviour", ["heed_cancel", "ignore_cancel", "die_of_cancel"])
def test_a_job_waits_until_the_worker_has_left_a_cancelled_one(
    make_client: MakeClient, behaviour: str
) -> None:
    client = make_client(behaviour)
    first = _half_done(client)
    pid = client.hello["pid"]
    first.cancel()
    second = client.submit("any", {})
    with pytest.raises(worker_client.WorkerError, match="still running"):
        client.submit("any", {})
    _wait_for(lambda: second.fraction == 0.5, second.poll)
    assert (first.state, second.state) == ("cancelled", "running")
    assert (client.hello["pid"] == pid) == (behaviour == "heed_cancel")
    second.cancel()
    _wait_for(lambda: second.state == "cancelled", second.poll)


def test_a_job_that_waits_can_be_cancelled_and_closed(make_client: MakeClient) -> None:
    client = make_client("ignore_cancel")
    jobs = []
    for _ in range(3):
        jobs.append(client.submit("any", {}))
        if len(jobs) == 1:
            _wait_for(lambda: jobs[0].fraction == 0.5, jobs[0].poll)
        jobs[-1].cancel()
    assert [job.state for job in jobs] == ["running", "cancelled", "cancelled"]
    client.submit("any", {})
    client.close()
    assert jobs[0].state == client._job.state == "cancelled"


def test_a_job_that_waits_for_a_python_that_is_gone_fails(
    make_client: MakeClient, tmp_path: Path
) -> None:
    client = make_client("ignore_cancel")
    first = client.submit("any", {})
    _wait_for(lambda: first.fraction == 0.5, first.poll)
    client._command = [str(tmp_path / "python")]
    first.cancel()
    second = client.submit("any", {})
    _wait_for(lambda: second.state != "running", second.poll)
    assert (first.state, second.state) == ("cancelled", "failed")
    assert "/py cannot be started" in second.error


def test_a_result_after_the_cancel_is_dropped(make_client: MakeClient) -> None:
    client = make_client("answer_in_spite_of_cancel")
    job = client.submit("any", {})
    _wait_for(lambda: job._request is None, job.poll)
    job.cancel()
    _wait_for(lambda: job.state != "running", job.poll)
    assert job.state == "cancelled"


def test_a_cancel_while_the_worker_starts_is_at_once(make_client: MakeClient) -> None:
    job = make_client("hang_at_once").submit("any", {})
    job.cancel()
    assert job.state == "cancelled"


def test_a_full_stderr_does_not_block_the_worker(make_client: MakeClient) -> None:
    client = make_client("flood_stderr")
    assert _run(client).state == "done"
    assert len(client._process.stderr_tail()) <= 16 * 2**10


@pytest.mark.parametrize(
    ("behaviour", "least", "most"),
    [("echo", 0, 1.5), ("ignore_the_end_of_stdin", 1.9, 3)],
)
def test_close_leaves_no_process_and_no_thread(
    make_client: MakeClient, behaviour: str, least: float, most: float
) -> None:
    client = make_client(behaviour)
    _run(client)
    process = client._process
    start = time.monotonic()
    client.close()
    assert least <= time.monotonic() - start < most
    assert _is_gone(client.hello["pid"])
    for thread in (process._reader, process._writer, process._error_reader):
        thread.join(1)
        assert not thread.is_alive()
    gc.collect()  # a pipe left open would warn here


def test_close_in_a_job_cancels_it_at_once(make_client: MakeClient) -> None:
    client = make_client("ignore_cancel")
    job = client.submit("any", {})
    _wait_for(lambda: job.message == "Deaf", job.poll)
    start = time.monotonic()
    client.close()
    assert time.monotonic() - start < 1
    assert job.state == "cancelled"
    assert _is_gone(client.hello["pid"])


def test_a_program_that_ends_without_close_takes_its_worker_along() -> None:
    program = f"""
import importlib, sys, types
package = types.ModuleType("p"); package.__path__ = [{str(ROOT / "imface_blender")!r}]
sys.modules["p"] = package
client = importlib.import_module("p.worker_client").WorkerClient(
    "/py", {str(ROOT)!r}, command=[sys.executable, {str(FAKE_WORKER)!r}, "echo"])
client.submit("any", {{}}).wait()
print(client.hello["pid"])
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    _wait_for(lambda: _is_gone(int(done.stdout)), lambda: None, 5)


def test_a_python_without_torch_gives_one_clear_sentence() -> None:
    program = "import sys; sys.modules['torch'] = None; sys.modules['numpy'] = None\n"
    program += "from backend.worker.server import serve; sys.exit(serve())"
    client = worker_client.WorkerClient("/py", ROOT, command=[sys.executable, "-c", program])
    job = _run(client)
    assert job.state == "failed"
    assert job.error == (
        f"The worker's Python at {sys.executable} has no PyTorch. Install torch in it, "
        "or choose another Python in the preferences."
    )


def test_client_and_server_understand_each_other() -> None:
    program = """
import sys
from backend.worker.server import serve
def double(params, arrays, report):
    report(0.5, "Doubling")
    return {"sum": params["a"] + params["b"]}, {"x": 2 * arrays["x"]}
sys.exit(serve(jobs={"double": double}))
"""
    client = worker_client.WorkerClient("/py", ROOT, command=[sys.executable, "-c", program])
    job = client.submit("double", {"a": 1, "b": 2}, {"x": np.array([1.5, 2.0])})
    job.wait()
    assert (job.state, job.values) == ("done", {"sum": 3})
    np.testing.assert_array_equal(job.arrays["x"], [3.0, 4.0])
    assert set(client.hello) == {"type", "protocol", "package", "python", "torch", "device"}
    failed = client.submit("no such job", {})
    failed.wait()
    assert failed.state == "failed"
    assert "Traceback" in failed.details
    client.close()
