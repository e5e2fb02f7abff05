# SPDX-License-Identifier: GPL-3.0-or-later
"""The cache: it goes on, leaves broken scans out by name, and its batches depend on nothing."""

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from backend.errors import DataError
from backend.learn import cache as cache_module
from backend.learn.cache import Batch, ScanCache, ScanSource, prepare

ROOT = Path(__file__).resolve().parents[3]
SCANS = 6
RADIUS = 0.3 + 0.1 * np.arange(SCANS)
#: Largest error of a 16-bit fraction [model units]: half a step.
STEP = 1.3 / 32767 / 2


@pytest.fixture
def folder(spheres: ScanSource, tmp_path: Path) -> Path:
    """Return the prepared cache of the spheres."""
    assert prepare(spheres, tmp_path / "cache", workers=1) == {}
    return tmp_path / "cache"


def test_a_batch_holds_what_was_prepared(folder: Path) -> None:
    batch = ScanCache(folder).batches(1, 0, 30, 100)
    assert batch.points.shape == (30, 100, 3)
    assert set(batch.scan.tolist()) == set(range(SCANS))
    np.testing.assert_array_equal(batch.person, batch.scan // 3)
    np.testing.assert_array_equal(batch.is_neutral, batch.scan % 3 == 0)
    norm = np.linalg.norm(batch.points, axis=2)
    radius = RADIUS[batch.scan]
    np.testing.assert_allclose(batch.sdf, norm - radius[:, None], atol=3 * STEP)
    far = norm > 0.1
    np.testing.assert_allclose(
        batch.gradients[far], (batch.points / norm[..., None])[far], atol=1e-3
    )
    np.testing.assert_allclose(
        np.linalg.norm(batch.landmarks, axis=2), np.tile(radius[:, None], 68), rtol=1e-6
    )
    assert batch.points.dtype == batch.sdf.dtype == batch.landmarks.dtype == torch.float32


def test_scans_without_partners_give_all_their_points(folder: Path) -> None:
    cache = ScanCache(folder)
    assert not any(
        (folder / f"{name}.npy").stat().st_size > 200 for name in ("neutral", "template")
    )
    batch = cache.batches(0, 0, 4, cache.config.points)
    assert batch.neutral.shape == batch.template.shape == (4, 0, 3)
    for scan, points in zip(batch.scan, batch.points, strict=True):
        stored = np.load(folder / "points.npy")[scan] * np.float32(1.3 / 32767)
        np.testing.assert_allclose(points, stored, atol=1e-6)  # each of them once, in their order


def _equal(a: Batch, b: Batch) -> bool:
    return all(np.array_equal(getattr(a, f.name), getattr(b, f.name)) for f in fields(Batch))


def test_a_batch_depends_on_seed_and_step_alone(cache_folder: Path, cache: ScanCache) -> None:
    cache.batches(1, 0, 4, 64)
    assert _equal(cache.batches(5, 0, 4, 64), ScanCache(cache_folder).batches(5, 0, 4, 64))
    assert not np.array_equal(cache.batches(5, 0, 4, 64).points, cache.batches(6, 0, 4, 64).points)
    assert not np.array_equal(cache.batches(5, 0, 4, 64).points, cache.batches(5, 1, 4, 64).points)


@pytest.mark.parametrize("parts", [2, 3, 5])
def test_parts_make_up_the_whole_batch(cache: ScanCache, parts: int) -> None:
    whole = cache.batches(2, 0, 5, 64)
    shares = [cache.batches(2, 0, 5, 64, (part, parts)) for part in range(parts)]
    joined = [
        torch.cat([getattr(share, field.name) for share in shares]) for field in fields(Batch)
    ]
    assert _equal(whole, Batch(*joined))


def _arrays(folder: Path) -> dict[str, np.ndarray]:
    return {path.stem: np.load(path) for path in sorted(folder.glob("*.npy"))}


def test_prepare_goes_on_where_it_stopped(spheres: ScanSource, folder: Path) -> None:
    wanted = _arrays(folder)
    np.load(folder / "state.npy", mmap_mode="r+")[[1, 4]] = 0
    np.load(folder / "points.npy", mmap_mode="r+")[[1, 4]] = 0
    np.load(folder / "points.npy", mmap_mode="r+")[0] = 7  # finished scans are not made again
    with pytest.raises(DataError, match="is unfinished. Run 'prepare' again to complete it."):
        ScanCache(folder)
    told: list[tuple[int, int]] = []
    prepare(spheres, folder, workers=1, progress=lambda *n: told.append(n))
    assert told == [(5, 6), (6, 6)]
    got = _arrays(folder)
    np.testing.assert_array_equal(got["points"][1:], wanted["points"][1:])
    assert (got["points"][0] == 7).all()
    for name in set(wanted) - {"points"}:
        np.testing.assert_array_equal(got[name], wanted[name])
    ScanCache(folder)


def test_two_workers_prepare_what_one_does(
    spheres: ScanSource, folder: Path, tmp_path: Path
) -> None:
    prepare(spheres, tmp_path / "two", workers=2)
    one, two = _arrays(folder), _arrays(tmp_path / "two")
    assert set(one) == set(two)
    for name in one:
        np.testing.assert_array_equal(one[name], two[name])


def test_a_broken_scan_is_left_out_by_name(spheres: ScanSource, tmp_path: Path) -> None:
    broken = tmp_path / "spheres" / "4.txt"
    broken.write_text("")
    told: list[tuple[int, int]] = []
    cache = tmp_path / "cache"
    reasons = prepare(spheres, cache, workers=1, progress=lambda *n: told.append(n))
    assert reasons == {"4.txt": "4.txt is empty. Export it again."}
    assert told[-1] == (6, 6)
    drawn = {
        scan
        for step in range(20)
        for scan in ScanCache(cache).batches(step, 0, 8, 16).scan.tolist()
    }
    assert drawn == {0, 1, 2, 3, 5}
    told.clear()
    assert prepare(spheres, cache, workers=1, progress=lambda *n: told.append(n)) == reasons
    assert told == [(6, 6)]  # only the broken one was tried again
    broken.write_text("0.7")
    assert prepare(spheres, cache, workers=1) == {}
    batch = ScanCache(cache).batches(0, 0, 30, 16)
    mended = batch.scan == 4
    assert mended.any()
    norm = np.linalg.norm(batch.points[mended], axis=2)
    np.testing.assert_allclose(batch.sdf[mended], norm - 0.7, atol=3 * STEP)


def test_no_usable_scan_at_all_is_one_sentence(spheres: ScanSource, tmp_path: Path) -> None:
    for path in (tmp_path / "spheres").iterdir():
        path.write_text("")
    with pytest.raises(DataError, match=r"None of the scans .* The first: 0\.txt is empty\."):
        prepare(spheres, tmp_path / "cache", workers=1)
    with pytest.raises(DataError, match="holds no usable scan. Run 'prepare' again"):
        ScanCache(tmp_path / "cache")


KILLED = """
import os, signal, sys
from pathlib import Path
from backend.learn.cache import DatasetConfig, prepare
from tests.backend.learn.conftest import SphereScans

class Killing(SphereScans):
    def sample(self, scan):
        os.kill(os.getppid(), signal.SIGKILL)

config = DatasetConfig(corresponding=1, sheet=1, near=1, uniform=1)
prepare(Killing(config, Path()), Path(sys.argv[1]), workers=2)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="has no SIGKILL")
def test_workers_end_with_a_process_that_is_killed(tmp_path: Path) -> None:
    run = [sys.executable, "-c", KILLED, str(tmp_path / "cache")]
    # Its output has an end once all who could write to it are gone.
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, timeout=45)
    assert done.returncode == -signal.SIGKILL, done.stderr


def test_no_worker_is_one_sentence(spheres: ScanSource, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="Without a worker no scan is sampled. Give --workers 1 or"):
        prepare(spheres, tmp_path / "cache", workers=0)


def test_a_failure_that_is_no_scans_fault_stops(spheres: ScanSource, tmp_path: Path) -> None:
    (tmp_path / "spheres" / "2.txt").unlink()
    with pytest.raises(FileNotFoundError):
        prepare(spheres, tmp_path / "cache", workers=1)
    with pytest.raises(DataError, match="is unfinished"):
        ScanCache(tmp_path / "cache")


def test_a_new_cache_takes_its_space_at_once(spheres: ScanSource, tmp_path: Path) -> None:
    for path in (tmp_path / "spheres").iterdir():
        path.write_text("")  # no scan is ever written
    with pytest.raises(DataError, match="None of the scans"):
        prepare(spheres, tmp_path / "cache", workers=1)
    points = (tmp_path / "cache" / "points.npy").stat()
    assert points.st_size > 20_000
    if hasattr(os, "posix_fallocate"):
        assert points.st_blocks * 512 >= points.st_size


def test_a_cache_without_room_is_one_sentence_and_leaves_nothing(
    spheres: ScanSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as disk:
        disk.setattr(os, "posix_fallocate", full, raising=False)
        with pytest.raises(DataError, match=r"takes 0\.0 GB, which .* No space left .* Free some"):
            prepare(spheres, tmp_path / "cache", workers=1)
    assert not list((tmp_path / "cache").iterdir())
    assert prepare(spheres, tmp_path / "cache", workers=1) == {}


REFUSED = "made from other data, .* Choose an empty folder."


@pytest.fixture
def untouched(folder: Path) -> Iterator[Path]:
    """Return a cache that a test must leave as it is."""
    before = _arrays(folder)
    yield folder
    after = _arrays(folder)
    assert all(np.array_equal(after[name], array) for name, array in before.items())


def test_a_cache_of_other_settings_is_refused(spheres: ScanSource, untouched: Path) -> None:
    other = replace(spheres, config=replace(spheres.config, near=99))
    with pytest.raises(DataError, match=REFUSED):
        prepare(other, untouched, workers=1)


def test_a_cache_of_another_source_is_refused(
    spheres: ScanSource, untouched: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(spheres), "fingerprint", lambda self: "cubes")
    with pytest.raises(DataError, match=REFUSED):
        prepare(spheres, untouched, workers=1)


def test_a_cache_of_another_version_is_refused(
    spheres: ScanSource, untouched: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_module, "CACHE_VERSION", cache_module.CACHE_VERSION + 1)
    with pytest.raises(DataError, match=REFUSED):
        prepare(spheres, untouched, workers=1)
    with pytest.raises(DataError, match=r"has version \d+, this program reads \d+. Prepare a new"):
        ScanCache(untouched)


def test_what_is_no_cache_is_one_sentence(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not a prepared cache. Run 'prepare' first."):
        ScanCache(tmp_path)
    header = (folder / "cache.json").read_text()
    surprise = json.loads(header)
    surprise["config"]["surprise"] = 1
    for text in (json.dumps(surprise), "{}", "hello"):
        (folder / "cache.json").write_text(text)
        with pytest.raises(DataError, match="is not a prepared cache"):
            ScanCache(folder)
    (folder / "cache.json").write_text(header)
    ScanCache(folder)
    (folder / "table.npz").unlink()  # as in a cache of the second version
    with pytest.raises(DataError, match="is not a prepared cache"):
        ScanCache(folder)
