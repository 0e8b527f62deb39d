"""The journal's frames and segments: written, cut, and damaged at every place; what is wrong is found and named."""
from __future__ import annotations

import os
import re
import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ext.journal import JournalError
from gateway.journal_file import segment_path
from tests import journal_probe as probe
from tests.journal_day import SEGMENT, SmallDay

START, SYNCED_AT = 64, 32


@pytest.fixture(scope="module")
def closed(tmp_path_factory) -> SmallDay:
    return SmallDay(tmp_path_factory.mktemp("closed"))


def refused(day: SmallDay, octets: bytes | None = None) -> JournalError:
    if octets is not None:
        day.write(octets)
    with pytest.raises(JournalError) as error:
        day.read()
    return error.value


def frame_at(day: SmallDay, offset: int) -> tuple[int, int, int]:
    return next(frame for frame in day.frames if frame[0] <= offset < frame[0] + frame[1])


def crosses(frame: tuple[int, int, int]) -> bool:
    """Whether the frame touches the beginning of a segment other than the first."""
    offset, size, _ = frame
    return offset % SEGMENT == 0 or offset // SEGMENT != (offset + size - 1) // SEGMENT


# --- whole ---


def test_frames_lie_across_segments_and_read_back(closed: SmallDay):
    assert sum(map(crosses, closed.frames)) >= 1
    assert len(closed.files()) >= 2
    assert closed.read() == closed.frames
    assert [seq for _, _, seq in closed.frames] == list(range(1, len(closed.frames) + 1))


@pytest.mark.parametrize("private", [False, True])
def test_a_day_goes_on_after_a_restart(tmp_path: Path, private: bool):
    day = SmallDay(tmp_path, private=private)
    for _ in range(40):
        before = day.read()
        found, cut = day.recover(private=private)
        assert (found, cut) == (before, 0)
    assert len(day.read()) == len(day.frames) + 40


def test_a_frame_may_be_longer_than_segments(tmp_path: Path):
    day = SmallDay(tmp_path)
    file = day.open()
    probe.read_all(file.journal)
    file.journal.cut()
    assert probe.append(file.journal, 5 * SEGMENT, 77, True)
    assert probe.append(file.journal, 64, 78)
    file.close()
    assert [size for _, size, _ in day.read()[-2:]] == [5 * SEGMENT, 64]


def test_room_ends_with_the_day_and_nothing_is_written_behind_it(tmp_path: Path):
    day = SmallDay(tmp_path)
    file = day.open()
    written = len(probe.read_all(file.journal))
    file.journal.cut()
    while probe.append(file.journal, 400, 5):
        written += 1
    assert file.journal.end <= file.journal.limit - SEGMENT
    assert file.journal.is_full
    file.close()
    assert len(day.read()) == written


# --- a process that dies: cut at every octet ---


def test_cut_at_every_octet_what_is_whole_stays(tmp_path: Path):
    """Zeros from some octet on, as in memory never written to: a frame that lacks its end was never committed."""
    day = SmallDay(tmp_path, 45, clean=False)
    whole = bytes(day.octets())
    for cut in range(START, day.end + 1):
        octets = bytearray(whole)
        octets[cut:] = bytes(len(whole) - cut)
        day.write(octets)
        expected = [frame for frame in day.frames if frame[0] + frame[1] <= cut]
        assert day.read() == expected, f"zeros from {cut} on"


def test_a_file_cut_short_at_every_octet(tmp_path: Path):
    day = SmallDay(tmp_path, 30, clean=False)
    whole = bytes(day.octets())
    for cut in range(START, day.end + 1):
        day.write(whole[:cut])
        frames = [frame for frame in day.frames if frame[0] + frame[1] <= cut]
        assert day.read() == frames, f"file ends at {cut}"


@pytest.mark.parametrize("cut", [0, 1, 7, 8, 40, 47, 48, 100, 4095, 4096, 4097, 5000])
def test_a_recovered_journal_goes_on(tmp_path: Path, cut: int):
    day = SmallDay(tmp_path, clean=False)
    octets = day.octets()
    octets[START + cut :] = bytes(len(octets) - START - cut)
    day.write(octets)
    found, torn = day.recover()
    last = found[-1][0] + found[-1][1] if found else START
    assert torn == sum(octet != 0 for octet in octets[last:])


def test_a_frame_that_was_never_committed_is_cut(tmp_path: Path):
    day = SmallDay(tmp_path, clean=False)
    file = day.open()
    probe.read_all(file.journal)
    file.journal.cut()
    assert probe.half_append(file.journal, 96, 3)
    file.close_files()
    found, torn = day.recover()
    assert found == day.frames
    assert torn > 48


# --- power loss, in disk mode: octets past synced_end may be there or not, in any order ---


def with_synced_end(octets: bytearray, synced_end: int) -> bytearray:
    struct.pack_into("<Q", octets, SYNCED_AT, synced_end)
    return octets


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 59), st.lists(st.tuples(st.integers(0, 23), st.integers(0, 3)), max_size=30))
def test_whatever_is_left_behind_the_synced_end_is_cut(tmp_path: Path, frame: int, sectors: list[tuple[int, int]]):
    """Sectors of 512 octets behind it are lost, old or garbage: what was synced stays, the rest is whole or cut."""
    day = SmallDay(tmp_path, private=True)
    synced = day.frames[frame][0]
    octets = with_synced_end(day.octets(), synced)
    for sector, what in sectors:
        first = max(sector * 512, synced)
        last = max(sector * 512 + 512, synced)
        octets[first:last] = {0: bytes, 1: lambda n: b"\xff" * n, 2: lambda n: octets[64 : 64 + n],
                              3: os.urandom}[what](last - first)  # fmt: skip
    day.write(octets[: day.size])
    found, _ = day.recover(private=True)
    assert found[:frame] == day.frames[:frame]
    assert found == day.frames[: len(found)]


def test_damage_before_the_synced_end_is_refused(tmp_path: Path):
    day = SmallDay(tmp_path, private=True)
    whole = bytes(day.octets())
    for (offset, size, number), (synced, _, _) in zip(day.frames, day.frames[1:], strict=False):
        octets = with_synced_end(bytearray(whole), synced)
        octets[offset + size - 1] ^= 1
        assert f"frame {number} is" in refused(day, octets).text
        # One frame later the same damage is a tail that nobody was told of.
        day.write(with_synced_end(octets, offset))
        assert len(day.read()) == number - 1


# --- damage ---


@pytest.mark.parametrize("bit", [0, 5])
def test_a_flipped_bit_in_every_octet_is_found_and_named(tmp_path: Path, bit: int):
    day = SmallDay(tmp_path, 50)
    whole = bytes(day.octets())
    for at in range(START, day.end):
        octets = bytearray(whole)
        octets[at] ^= 1 << bit
        offset, _, number = frame_at(day, at)
        error = refused(day, octets)
        assert re.match(rf"frame {number} is (changed|broken|missing)", error.text), f"octet {at}: {error}"
        assert error.day_offset == offset or crosses(frame_at(day, at)), f"octet {at}: {error}"


def test_a_flipped_bit_after_a_kill_is_found_in_all_but_what_looks_unfinished(tmp_path: Path):
    day = SmallDay(tmp_path, 20, clean=False)
    whole = bytes(day.octets())
    *_, (last, size, _) = day.frames
    for at in range(START, last):
        octets = bytearray(whole)
        octets[at] ^= 4
        assert f"frame {frame_at(day, at)[2]} is" in refused(day, octets).text, f"octet {at}"
    for at in range(last + 48, last + size):
        octets = bytearray(whole)
        octets[at] ^= 4
        assert "is changed" in refused(day, octets).text, f"octet {at} of the last frame"


@pytest.mark.parametrize("clean", [True, False])
def test_every_dropped_frame_is_named(tmp_path: Path, clean: bool):
    day = SmallDay(tmp_path, clean=clean)
    whole = bytes(day.octets())
    for offset, size, number in day.frames:
        octets = whole[:offset] + whole[offset + size :] + bytes(size)
        if number == len(day.frames) and not clean:
            continue
        error = refused(day, octets)
        if number == len(day.frames):
            assert f"frame {number} is missing: the journal ends here" in error.text
        elif crosses((offset, size, number)) or crosses((offset, day.frames[number][1], number)):
            assert f"frame {number}" in error.text
        else:
            assert error.text == f"frame {number} is missing: frame {number + 1} stands in its place"
        assert error.day_offset in (offset, (offset // SEGMENT + 1) * SEGMENT)


@pytest.mark.parametrize("clean", [True, False])
def test_every_frame_overwritten_with_zeros_is_named(tmp_path: Path, clean: bool):
    day = SmallDay(tmp_path, clean=clean)
    whole = bytes(day.octets())
    for offset, size, number in day.frames[:-2]:
        octets = whole[:offset] + bytes(size) + whole[offset + size :]
        error = refused(day, octets)
        assert f"frame {number} is" in error.text, error
        if not crosses((offset, size, number)) and offset // SEGMENT == (offset + size + 48) // SEGMENT:
            assert "zeros stand in its place" in error.text
            assert f"frame {number + 1} follows at offset {offset + size}" in error.text


def test_frames_in_another_order_are_named(tmp_path: Path):
    day = SmallDay(tmp_path)
    whole = bytes(day.octets())
    for (at, size, number), (next_at, next_size, _) in zip(day.frames, day.frames[1:], strict=False):
        after = next_at + next_size
        octets = whole[:at] + whole[next_at:after] + whole[at : at + size] + whole[after:]
        error = refused(day, octets)
        if not crosses((at, size + next_size, 0)):
            assert error.text.startswith(f"frame {number} is out of order: frame {number + 1} stands in its place")
        assert f"frame {number} is" in error.text


def test_a_frame_that_stands_twice_is_named(tmp_path: Path):
    day = SmallDay(tmp_path)
    whole = bytes(day.octets())
    at, size, number = day.frames[4]
    error = refused(day, whole[: at + size] + whole[at : at + size] + whole[at + size :])
    assert error.text.startswith(f"frame {number + 1} is out of order: frame {number} stands in its place")


def test_several_dropped_frames_are_counted(tmp_path: Path):
    day = SmallDay(tmp_path)
    whole = bytes(day.octets())
    first, last = day.frames[3][0], day.frames[9][0]
    error = refused(day, whole[:first] + whole[last:] + bytes(last - first))
    assert error.text == "frames 4 to 9 are missing: frame 10 stands in their place"
    assert (error.path, error.offset) == (str(day.path), first)


# --- segments ---


def three_segments(folder: Path, *, clean: bool = True, first: int = 1) -> SmallDay:
    day = SmallDay(folder, 130, clean=clean, first=first)
    assert day.end > 3 * SEGMENT
    return day


def test_a_missing_segment_is_named(tmp_path: Path):
    day = three_segments(tmp_path)
    for number in (0, 1):
        kept = segment_path(day.path, number).read_bytes()
        segment_path(day.path, number).unlink()
        error = refused(day)
        assert error.path == str(segment_path(day.path, number))
        assert "this segment is missing: the day goes on in" in error.text
        segment_path(day.path, number).write_bytes(kept)
    assert day.read() == day.frames


@pytest.mark.parametrize("clean", [True, False])
def test_a_missing_last_segment_is_noticed(tmp_path: Path, clean: bool):
    day = three_segments(tmp_path, clean=clean)
    for number, file in sorted(day.files().items()):
        if number * SEGMENT >= day.end - SEGMENT:
            file.unlink()
    error = refused(day)
    assert "missing" in error.text or "in the next segment, which is not there" in error.text


def test_a_segment_cut_short_is_named(tmp_path: Path):
    day = three_segments(tmp_path)
    with segment_path(day.path, 1).open("r+b") as file:
        file.truncate(4000)
    error = refused(day)
    assert error.path == str(segment_path(day.path, 1))
    assert error.text.startswith("it is cut short: 4000 bytes, expected 4096")


def test_swapped_segments_are_named(tmp_path: Path):
    day = three_segments(tmp_path)
    one, two = segment_path(day.path, 1), segment_path(day.path, 2)
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second)
    two.write_bytes(first)
    error = refused(day)
    assert (error.path, error.offset, error.day_offset) == (str(one), 0, SEGMENT)
    assert f"what belongs here is in {two}: they are swapped" in error.text


def test_a_segment_of_another_journal_is_named(tmp_path: Path):
    day, other = three_segments(tmp_path / "a"), three_segments(tmp_path / "b", first=100)
    segment_path(day.path, 1).write_bytes(segment_path(other.path, 1).read_bytes())
    error = refused(day)
    assert error.path == str(segment_path(day.path, 1))
    assert "it is of another journal" in error.text


def test_an_emptied_segment_is_named(tmp_path: Path):
    day = three_segments(tmp_path)
    segment_path(day.path, 1).write_bytes(bytes(SEGMENT))
    error = refused(day)
    assert error.path == str(segment_path(day.path, 1))
    assert "it holds no frame" in error.text


def test_damage_in_a_later_segment_names_file_and_both_offsets(tmp_path: Path):
    day = three_segments(tmp_path)
    offset, size, number = next(frame for frame in day.frames if frame[0] > SEGMENT + 200)
    octets = day.octets()
    octets[offset + size - 8] ^= 32
    day.write(octets)
    where = f"{segment_path(day.path, 1)}: offset {offset - SEGMENT} (offset {offset} of the day)"
    assert str(refused(day)).startswith(f"{where}: frame {number} is changed")


# --- anything at all ---


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 12_000), st.binary(min_size=1, max_size=200)), min_size=1, max_size=4))
def test_a_closed_day_reads_whole_or_not_at_all(tmp_path: Path, edits: list[tuple[int, bytes]]):
    day = SmallDay(tmp_path)
    octets = day.octets()
    for at, new in edits:
        octets[START + at : START + at + len(new)] = new[: max(0, len(octets) - START - at)]
    changed = octets[START : day.end] != day.octets()[START : day.end]
    day.write(octets)
    if changed:
        assert "frame" in refused(day).text
    else:
        assert day.read() == day.frames


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=9000), st.integers(0, 3), st.integers(0, 12_000))
def test_any_octets_are_frames_or_one_error(tmp_path: Path, noise: bytes, where: int, synced_end: int):
    """Noise in the place of a day's beginning, middle or all of it, whatever its header says: no crash, and no frame made up."""
    day = SmallDay(tmp_path, clean=False)
    octets = with_synced_end(day.octets(), synced_end)
    first = [0, 64, 3000, day.end][where]
    octets[first : first + len(noise)] = noise
    day.write(octets)
    try:
        found = day.read()
    except JournalError:
        return
    assert found == day.frames[: len(found)]


def test_headers_that_cannot_be(tmp_path: Path):
    day = SmallDay(tmp_path)
    whole = bytes(day.octets())
    for size, message in ((12345, "multiple of 4096"), ((1 << 64) - 4096, "address space"), (1 << 62, "address space")):
        octets = bytearray(whole)
        struct.pack_into("<Q", octets, 40, size)
        day.write(octets)
        with pytest.raises(JournalError, match=message):
            day.read()
