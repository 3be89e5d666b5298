"""Which audio track is dubbed."""

from __future__ import annotations

from pathlib import Path

import pytest

from speechmill.errors import UnreadableMedia
from speechmill.settings import Settings
from storage.artifacts import ArtifactStore
from tasks.media.extraction import HEADER, extract
from tasks.media.probing import probe
from tasks.media.tracks import choose
from tests.media.conftest import Make


def streams(*languages: str) -> list[dict[str, object]]:
    return [{"codec_name": "aac", "channel_layout": "stereo", "tags": {"language": tag}} for tag in languages]


@pytest.mark.parametrize(
    ("marked", "language", "wanted", "chosen", "said"),
    [
        (["eng"], "en", None, 0, ""),
        (["und"], "en", None, 0, ""),  # what says nothing contradicts nothing
        ([""], "en", None, 0, ""),
        (["qaa", "deu"], "en", None, 0, ""),  # how broadcasters mark the original sound, in whatever language
        (["mis", "eng"], "en", None, 0, ""),
        (["und", "eng"], "en", None, 0, ""),
        (["fra", "eng"], "en", None, 1, "audio track 1 is dubbed, the first that is marked as English"),
        (["fra", "eng", "eng"], "en-GB", None, 1, "audio track 1"),
        (["chi"], "zh", None, 0, ""),
        (["cmn"], "zh-Hans", None, 0, ""),
        (["fra", "eng"], "en", 1, 1, ""),
        (["fra", "eng"], "en", 0, 0, "audio track 0 is marked as French, and taken for English"),
        (["und"], "en", 0, 0, ""),
        ([], "en", None, None, ""),
    ],
)  # fmt: skip
def test_the_track_that_is_chosen(
    marked: list[str], language: str, wanted: int | None, chosen: int | None, said: str
) -> None:
    found = choose(Path("talk.mkv"), streams(*marked), language, wanted, may_be_silent=True)
    assert found.number == chosen
    assert found.note.startswith(said)
    assert bool(found.note) == bool(said)


@pytest.mark.parametrize(
    ("marked", "wanted", "words"),
    [
        (["fra"], None, ["talk.mkv is in French", "--from fr", "0: French aac stereo"]),
        (["fra", "deu"], None, ["in French", "1: German aac stereo"]),
        (["fra", "und"], None, ["in French", "1: aac stereo"]),
        (["eng"], 3, ["1 audio track", "--audio-track: 0: English"]),
        ([], None, ["no audio track", "--script"]),
        ([], 0, ["no audio track"]),
    ],
)
def test_a_source_without_the_track_is_refused(marked: list[str], wanted: int | None, words: list[str]) -> None:
    with pytest.raises(UnreadableMedia) as refused:
        choose(Path("talk.mkv"), streams(*marked), "en", wanted)
    for word in words:
        assert word in str(refused.value)


def test_a_film_without_sound_is_silent_as_long_as_its_picture(
    make: Make, film: Path, settings: Settings, store: ArtifactStore
) -> None:
    media = probe(make("slides.mp4", "-i", film, "-an", "-c", "copy"), settings, None)
    assert (media.audio, media.duration_s) == ((), 4.0)
    sound = extract(media, None, store)
    data = store.path(sound.digest).read_bytes()
    assert (sound.layout, sound.length_samples, len(data)) == ("stereo", 192_000, HEADER.size + 192_000 * 8)
    assert not any(data[HEADER.size :])
    assert sound.packets is not None


@pytest.mark.parametrize("mapped", [(), ("-vn",)])
def test_a_matroska_file_that_begins_late_is_as_long_as_what_is_in_it(
    make: Make, film: Path, settings: Settings, mapped: tuple[str, ...]
) -> None:
    """Its duration counts from zero, and so holds the five seconds before its beginning."""
    late = make("late.mkv", "-itsoffset", "5", "-i", film, *mapped, "-c", "copy")
    assert probe(late, settings).duration_s == pytest.approx(4.0, abs=0.05)
