# SPDX-License-Identifier: GPL-3.0-or-later
"""Workers that misbehave: `python fake_worker.py BEHAVIOUR` (a function of this file)."""

import os
import sys
import time
from collections.abc import Callable
from typing import Any

from backend.worker.protocol import pack, read_message

STDIN, STDOUT = sys.stdin.buffer, sys.stdout.buffer
LONG_PAST_ANY_TIMEOUT = 60


def echo() -> None:
    """Give every job its own parameters and arrays back; end with stdin."""
    _hello()
    while True:
        header, arrays = read_message(STDIN)
        values = {"name": header["name"], "params": header["params"]}
        _send({"type": "progress", "id": header["id"], "fraction": 0.5, "message": "Half", "x": 1})
        _send({"type": "result", "id": header["id"], "values": values}, arrays)


def hang_at_once() -> None:
    print("warming up for ever", file=sys.stderr, flush=True)
    time.sleep(LONG_PAST_ANY_TIMEOUT)


def die_at_once() -> None:
    sys.exit("no room in the head")


def lack_torch() -> None:
    template = "This Python has no {title}. Install it."
    _send({"type": "error", "message": template, "values": {"title": "PyTorch"}})


def be_an_old_python() -> None:
    print("Unknown option: -P\nusage: python3.9 [option]\nTry `python -h'.", file=sys.stderr)
    sys.exit(2)


def print_garbage_at_once() -> None:
    print("Hello world, I am no worker", flush=True)
    time.sleep(LONG_PAST_ANY_TIMEOUT)


def speak_another_version() -> None:
    _hello(protocol=99)
    time.sleep(LONG_PAST_ANY_TIMEOUT)


def die_in_job() -> None:
    job_id = _hello_and_job()
    _send({"type": "progress", "id": job_id, "fraction": 0.25, "message": "Dying"})
    print("last words", file=sys.stderr, flush=True)
    os._exit(7)


def die_within_a_message() -> None:
    _hello_and_job()
    STDOUT.write(pack({"type": "result", "id": 1, "values": {}})[:10])
    STDOUT.flush()
    os._exit(7)


def be_killed_in_job() -> None:
    _hello_and_job()
    os.kill(os.getpid(), 9)


def print_garbage_in_job() -> None:
    _hello_and_job()
    print("epoch 1: loss 0.5 " * 100_000, flush=True)
    time.sleep(LONG_PAST_ANY_TIMEOUT)


def ignore_cancel() -> None:
    job_id = _hello_and_job()
    _send({"type": "progress", "id": job_id, "fraction": 0.5, "message": "Deaf"})
    time.sleep(LONG_PAST_ANY_TIMEOUT)


def heed_cancel() -> None:
    _hello()
    while True:
        job_id = read_message(STDIN)[0]["id"]
        _send({"type": "progress", "id": job_id, "fraction": 0.5, "message": "Listening"})
        assert read_message(STDIN)[0] == {"type": "cancel", "id": job_id}
        _send({"type": "error", "id": job_id, "kind": "cancelled", "message": "", "details": ""})


def die_of_cancel() -> None:
    job_id = _hello_and_job()
    _send({"type": "progress", "id": job_id, "fraction": 0.5, "message": "Listening"})
    read_message(STDIN)
    os._exit(7)


def answer_in_spite_of_cancel() -> None:
    job_id = _hello_and_job()
    read_message(STDIN)
    _send({"type": "result", "id": job_id, "values": {"too": "late"}})
    time.sleep(LONG_PAST_ANY_TIMEOUT)


def never_read() -> None:
    _hello()
    time.sleep(LONG_PAST_ANY_TIMEOUT)


def flood_stderr() -> None:
    job_id = _hello_and_job()
    sys.stderr.write("noise " * 500_000)  # 3 MB without a line's end
    sys.stderr.flush()
    _send({"type": "result", "id": job_id, "values": {}})
    time.sleep(LONG_PAST_ANY_TIMEOUT)


def ignore_the_end_of_stdin() -> None:
    job_id = _hello_and_job()
    _send({"type": "result", "id": job_id, "values": {}})
    time.sleep(LONG_PAST_ANY_TIMEOUT)


def _hello_and_job() -> int:
    _hello()
    return int(read_message(STDIN)[0]["id"])


def _hello(protocol: int = 1) -> None:
    _send({"type": "hello", "protocol": protocol, "pid": os.getpid()})


def _send(header: dict[str, Any], arrays: Any = None) -> None:
    STDOUT.write(pack(header, arrays))
    STDOUT.flush()


if __name__ == "__main__":
    behaviour: Callable[[], None] = globals()[sys.argv[1]]
    try:
        behaviour()
    except EOFError:
        sys.exit(0)
