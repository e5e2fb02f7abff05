# SPDX-License-Identifier: GPL-3.0-or-later
"""Face captures: Live Link Face's files and plain ones, their rates, and what is refused."""

from pathlib import Path

import numpy as np
import pytest

from tests import live_link_writer
from tests.addon.without_bpy import import_without_bpy

face_capture = import_without_bpy("face_capture")
UserError = import_without_bpy("errors").UserError

WANTED = ["jawOpen", "mouthSmileLeft", "tongueOut"]
RAMP = np.linspace(0, 1, 121)  # two seconds at 60


@pytest.fixture
def text_file(tmp_path: Path):
    """Return a function that writes a text, or bytes, to a file."""

    def write(text: str | bytes) -> Path:
        path = tmp_path / "take.csv"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return write


@pytest.fixture
def live_link(tmp_path: Path):
    """Return a function that writes a take as Live Link Face does."""
    return lambda *args, **choices: live_link_writer.write(tmp_path / "take.csv", *args, **choices)


def test_a_live_link_take(live_link) -> None:
    path = live_link({"JawOpen": RAMP, "HeadYaw": -RAMP})
    capture = face_capture.read(path, [*WANTED, "HeadYaw"])
    assert set(capture.columns) == {*WANTED, "HeadYaw"}
    np.testing.assert_allclose(capture.columns["jawOpen"], RAMP, atol=1e-9)
    np.testing.assert_allclose(capture.columns["HeadYaw"], -RAMP, atol=1e-9)
    np.testing.assert_allclose(capture.seconds, np.arange(121) / 60, atol=1e-9)
    assert (capture.fps, capture.assumed, capture.lost) == (60, False, 0)
    unknown = set(live_link_writer.EXPRESSIONS) - {"JawOpen", "MouthSmileLeft", "TongueOut"}
    assert set(capture.unknown) == unknown


@pytest.mark.parametrize("fps", [24, 25, 30, 48, 50, 60])
def test_the_rate_is_read_from_the_timecodes(live_link, fps: int) -> None:
    capture = face_capture.read(live_link({"JawOpen": RAMP}, fps=fps), WANTED)
    assert (capture.fps, capture.assumed) == (fps, False)
    assert capture.seconds[-1] == pytest.approx(120 / fps)


def test_sixty_rows_a_second_with_timecodes_of_thirty(live_link) -> None:
    path = live_link({"JawOpen": RAMP}, fps=30, frames=np.arange(121) / 2)
    capture = face_capture.read(path, WANTED)
    assert capture.fps == 30
    np.testing.assert_allclose(capture.seconds, np.arange(121) / 60, atol=1e-6)


def test_a_take_within_one_second_is_taken_for_sixty(live_link) -> None:
    capture = face_capture.read(live_link({"JawOpen": RAMP[:20]}, start=600.0), WANTED)
    assert (capture.fps, capture.assumed) == (60, True)
    assert capture.seconds[-1] == pytest.approx(19 / 60)


def test_a_given_rate_is_that_of_the_timecodes(live_link) -> None:
    capture = face_capture.read(live_link({"JawOpen": RAMP}), WANTED, fps=60000 / 1001)
    np.testing.assert_allclose(capture.seconds, np.arange(121) * 1001 / 60000, atol=1e-6)
    assert not capture.assumed


def test_dropped_rows_keep_their_time(live_link) -> None:
    frames = np.array([0, 1, 2, 19, 20, 50, 51, 90])
    path = live_link({"JawOpen": frames / 100}, frames=frames)
    values = face_capture.resample(face_capture.read(path, WANTED), 60)["jawOpen"]
    np.testing.assert_allclose(values, np.arange(91) / 100, atol=1e-6)  # straight in between


def test_a_take_over_midnight(live_link) -> None:
    path = live_link({"JawOpen": RAMP}, start=86_400 * 60 - 40)
    capture = face_capture.read(path, WANTED)
    np.testing.assert_allclose(capture.seconds, np.arange(121) / 60, atol=1e-9)


@pytest.mark.parametrize(
    ("last", "next_minute", "fps"), [("59;29", "00;02", 30), ("59;59", "00;04", 60)]
)
def test_drop_frame_timecodes_run_evenly(text_file, last: str, next_minute: str, fps: int) -> None:
    stamps = [f"00:08:{last}", f"00:09:{next_minute}", f"00:09:{last}", "00:10:00;00"]
    rows = "".join(f"{stamp}.000,61,0.5\n" for stamp in stamps)
    capture = face_capture.read(text_file(f"Timecode,BlendShapeCount,JawOpen\n{rows}"), WANTED)
    assert capture.fps == pytest.approx(fps / 1.001)
    frames = [0, 1, 60 * fps - fps // 15, 60 * fps - fps // 15 + 1]
    np.testing.assert_allclose(capture.seconds * capture.fps, frames, atol=1e-6)


def test_jitter_of_the_timecodes_is_held_back(live_link) -> None:
    frames = np.arange(121.0)
    frames[60] -= 1.5  # half a frame before its neighbour
    capture = face_capture.read(live_link({"JawOpen": RAMP}, frames=frames), WANTED)
    assert capture.seconds[60] == capture.seconds[59]


def test_rows_without_a_face_are_bridged(text_file) -> None:
    head = "Timecode,BlendShapeCount,JawOpen,MouthClose"
    first, last = "01:00:00:58.000,61,0.2,0", "01:00:01:02.000,61,0.6,0"
    lost = "01:00:00:59.000,0,,\n01:00:01:00.000,0"
    capture = face_capture.read(text_file(f"{head}\n{first}\n{lost}\n{last}\n"), WANTED)
    assert capture.lost == 2
    values = face_capture.resample(capture, 60)["jawOpen"]
    np.testing.assert_allclose(values, [0.2, 0.3, 0.4, 0.5, 0.6], atol=1e-9)


def test_a_lost_start_keeps_the_time(text_file) -> None:
    capture = face_capture.read(text_file("jawOpen\n\nnan\n0.5\n"), WANTED, fps=10)
    np.testing.assert_allclose(capture.seconds, [0.1])
    np.testing.assert_allclose(face_capture.resample(capture, 30)["jawOpen"], [0.5] * 4)


@pytest.mark.parametrize("name", ["jawOpen", "JawOpen", "JAWOPEN", " jawopen "])
def test_a_plain_file_in_any_case(text_file, name: str) -> None:
    capture = face_capture.read(text_file(f"\ufeff{name},emotion\n0,glad\n1,sad\n"), WANTED)
    np.testing.assert_array_equal(capture.columns["jawOpen"], [0, 1])
    assert (capture.fps, capture.assumed, capture.unknown) == (60, True, ["emotion"])


@pytest.mark.parametrize(
    ("clock", "stamps", "fps", "seconds"),
    [
        ("time", (5.0, 5.25, 5.5), 0, (0, 0.25, 0.5)),
        ("Timestamp", (0.0, 0.1, 0.4), 0, (0, 0.1, 0.4)),
        ("frame", (10, 11, 14), 0, (0, 1 / 60, 4 / 60)),
        ("frame", (10, 11, 14), 24, (0, 1 / 24, 4 / 24)),
        ("time", (0, 40, 80), 25, (0, 0.04, 0.08)),  # milliseconds: the given rate counts rows
    ],
)
def test_plain_clocks(text_file, clock: str, stamps, fps: float, seconds) -> None:
    rows = "".join(f"{stamp},0.5\n" for stamp in stamps)
    capture = face_capture.read(text_file(f"{clock},jawOpen\n{rows}"), WANTED, fps)
    np.testing.assert_allclose(capture.seconds, seconds, atol=1e-9)


def test_what_a_table_program_of_another_country_saved(text_file) -> None:
    for text in ("\ufeffTime;JawOpen\r\n0;0,25\r\n0,5;1\r\n", "Time\tJawOpen\n0\t0.25\n0.5\t1\n"):
        capture = face_capture.read(text_file(text), WANTED)
        assert capture.seconds.tolist() == [0, 0.5]
        assert capture.columns["jawOpen"].tolist() == [0.25, 1]


@pytest.mark.parametrize("fps", [24, 25, 30, 60, 24000 / 1001])
def test_resampling_follows_a_straight_line(live_link, fps: float) -> None:
    capture = face_capture.read(live_link({"JawOpen": RAMP}), WANTED)
    values = face_capture.resample(capture, fps)["jawOpen"]
    assert len(values) == int(2 * fps + 1e-3) + 1
    np.testing.assert_allclose(values, np.arange(len(values)) / fps / 2, atol=1e-6)


def test_smoothing_is_a_gaussian(text_file) -> None:
    pulse = np.zeros(41)
    pulse[20] = 1
    path = text_file("jawOpen\n" + "\n".join(map(str, pulse)))
    capture = face_capture.read(path, WANTED, fps=24)
    np.testing.assert_array_equal(face_capture.resample(capture, 24)["jawOpen"], pulse)
    smooth = face_capture.resample(capture, 24, smoothing=2)["jawOpen"]
    assert smooth.sum() == pytest.approx(1)
    spread = np.sqrt((smooth * (np.arange(41) - 20) ** 2).sum())
    assert spread == pytest.approx(2, rel=0.05)


def test_smoothing_leaves_what_is_constant(text_file) -> None:
    capture = face_capture.read(text_file("jawOpen\n" + "0.7\n" * 9), WANTED)
    np.testing.assert_allclose(face_capture.resample(capture, 60, 3)["jawOpen"], 0.7)


TIMED = "Timecode,BlendShapeCount,JawOpen\n"
REFUSED = {
    "empty": ("", "names no expression that the face has. Export the capture as CSV"),
    "no header": ("0.1,0.2\n0.3,0.4\n", "names no expression that the face has"),
    "other tool": ("smile,frown\n1,0\n", "names no expression that the face has"),
    "no rows": ("jawOpen\n", "has a header but no rows. Record it again."),
    "no face": ("jawOpen,time\n,0\n", "has no row with a face. Record it again."),
    "twice": ("jawOpen,JawOpen\n1,0\n", "has the column 'jawopen' twice. Delete one"),
    "too few": ("jawOpen,mouthClose\n1,0\n1\n", "Line 3 of 'take.csv' has 1 values, the header 2"),
    "too many": ("jawOpen\n1\n\n1,0\n", "Line 4 of 'take.csv' has 2 values, the header 1"),
    "text": ("jawOpen,mouthClose\nwide,0\n", "Line 2 of 'take.csv' has 'wide' for jawOpen"),
    "half blank": ("jawOpen,tongueOut\n,0\n", "Line 2 of 'take.csv' has '' for jawOpen"),
    "percent": ("jawOpen\n0\n87.5\n", "has 87.5 for jawOpen; values go from 0 to 1"),
    "endless": ("jawOpen\ninf\n", "has inf for jawOpen"),
    "no timecode": (TIMED + "noon,61,0\n", "Line 2 of 'take.csv' has the timecode 'noon', which"),
    "nan timecode": (TIMED + "0:0:0:nan,61,0\n", "has the timecode '0:0:0:nan', which is not"),
    "bars": ("jawOpen|mouthClose\n0|1\n", "Export the capture as CSV, with commas and a"),
    "milliseconds": (TIMED + "0:0:0:980,61,0\n", "count up to frame 980, which is no frame rate"),
    "backwards": (TIMED + "0:0:9:1,61,0\n0:0:2:1,61,0\n", "The time runs backwards at line 3"),
    "unit": ("time,jawOpen\n0,0\n33,0\n67,0\n", "gives 0.0299 rows per second, so it does not"),
    "too long": ("frame,jawOpen\n0,0\n9e12,0\n", "hours. Delete its column of times, and set"),
    "nan clock": ("frame,jawOpen\n0,0\nnan,0\n", "The time runs backwards at line 3"),
    "binary": (b"\xff\xd8\xff\xe0\x00\x10JFIF", "'take.csv' is no CSV text. Export the capture"),
    "a long line": ("x" * 200_000, "'take.csv' is no CSV text. Export the capture as CSV."),
}


@pytest.mark.parametrize("angle", ["-25.5", "inf"])
def test_a_head_that_turns_in_degrees_is_refused_where_it_is_wanted(text_file, angle: str) -> None:
    path = text_file(f"jawOpen,HeadYaw,HeadPitch,HeadRoll\n0,0,0,3.1\n0,0,{angle},0\n")
    with pytest.raises(UserError, match=r"has (25\.5|inf) for HeadPitch, which is no angle in rad"):
        face_capture.read(path, [*WANTED, *face_capture.HEAD_ANGLES])
    assert face_capture.read(path, WANTED).columns["jawOpen"].tolist() == [0, 0]


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(text_file, case: str) -> None:
    text, sentence = REFUSED[case]
    with pytest.raises(UserError) as refusal:
        face_capture.read(text_file(text), WANTED)
    assert sentence in str(refusal.value)
    assert str(refusal.value).endswith(".")


def test_a_file_that_is_not_there_or_is_a_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "take.csv", tmp_path):
        with pytest.raises(UserError, match="cannot be read .*. Choose a CSV file."):
            face_capture.read(path, WANTED)


def test_too_much_is_refused_before_memory_is(text_file, monkeypatch) -> None:
    monkeypatch.setattr(face_capture, "MAX_ROWS", 3)
    face_capture.read(text_file("jawOpen\n" + "0\n" * 3), WANTED)
    with pytest.raises(UserError, match="has more than 3 rows"):
        face_capture.read(text_file("jawOpen\n" + "0\n" * 4), WANTED)
    monkeypatch.setattr(face_capture, "MAX_BYTES", 3)
    with pytest.raises(UserError, match="is larger than 512 MB. Cut it into shorter takes."):
        face_capture.read(text_file("jawOpen\n0\n"), WANTED)
