"""Bad input ends as a typed error of one line that names the file and the mend; odd input is understood."""

from __future__ import annotations

import os
import random
import shutil
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechmill.errors import BadInput, LimitExceeded, TruncatedMedia, UnreadableMedia
from speechmill.settings import Settings
from tasks.media import probing
from tasks.media.probing import probe
from tasks.media.sniffing import as_text, sniff

Make = Callable[..., Path]
Inputs = Callable[..., list[str]]


def refused(path: Path, settings: Settings, kind: type[BadInput], *words: str, track: int = 0) -> BadInput:
    with pytest.raises(BadInput) as caught:
        probe(path, settings, track)
    error = caught.value
    assert type(error) is kind, error
    assert "\n" not in str(error)
    assert error.hint
    for word in words:
        assert word in str(error), str(error)
    return error


def test_files_that_are_not_there_or_no_files(tmp_path: Path, settings: Settings) -> None:
    refused(tmp_path / "nope.mp4", settings, UnreadableMedia, "nope.mp4", "there is no file")
    (tmp_path / "a folder.mp4").mkdir()
    refused(tmp_path / "a folder.mp4", settings, UnreadableMedia, "a folder.mp4 is a folder")
    (tmp_path / "empty.mp4").touch()
    refused(tmp_path / "empty.mp4", settings, UnreadableMedia, "empty.mp4 is empty")
    (tmp_path / "gone.mp4").symlink_to(tmp_path / "nowhere")
    refused(tmp_path / "gone.mp4", settings, UnreadableMedia, "gone.mp4")
    refused(tmp_path / ("x" * 300 + ".mp4"), settings, UnreadableMedia, "xxx")
    refused(Path("/dev/zero"), settings, UnreadableMedia, "not a plain file")


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path, settings: Settings) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    refused(tmp_path / "pipe.mp4", settings, UnreadableMedia, "pipe.mp4 is not a plain file")


@pytest.mark.parametrize("ending", ["mp4", "mp3", "ts", "aac", "mkv", "wav", "flac", "f32le", "srt"])
def test_random_bytes_are_no_medium_under_any_name(tmp_path: Path, settings: Settings, ending: str) -> None:
    path = tmp_path / f"noise.{ending}"
    path.write_bytes(random.Random(1).randbytes(200_000))
    refused(path, settings, UnreadableMedia, path.name)


@pytest.mark.parametrize("kind", ["png", "jpg", "gif", "bmp", "webp", "tiff"])
def test_a_picture_named_mp4(make: Make, frames: Inputs, settings: Settings, kind: str) -> None:
    picture = make(f"still.{kind}", *frames(0.04), "-frames:v", "1")
    named = picture.rename(picture.with_name(f"{kind}.mp4"))
    refused(named, settings, UnreadableMedia, named.name, "picture")


LISTS = {
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{}\n",
    "hls with a mark": "\ufeff#EXTM3U\n{}\n",
    "ffconcat": "ffconcat version 1.0\nfile '{}'\n",
    "concat": "file '{}'\n",
    "dash": '<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><BaseURL>{}</BaseURL></MPD>\n',
    "pls": "[playlist]\nFile1={}\n",
    "asx": "<ASX version='3.0'><Entry><Ref href='{}'/></Entry></ASX>",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns={}\nm=audio 5004 RTP/AVP 0\n",
}


@pytest.mark.parametrize("kind", LISTS)
def test_a_list_of_other_files_is_never_opened(tmp_path: Path, film: Path, settings: Settings, kind: str) -> None:
    """Neither a neighbour nor an address that it names is touched."""
    asked: list[str] = []

    class Server(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    shutil.copy(film, tmp_path / "neighbour.mp4")
    try:
        for target in ("neighbour.mp4", f"http://127.0.0.1:{server.server_port}/secret.ts"):
            for name in ("list.mp4", "list.mkv", "list.m3u8"):
                path = tmp_path / name
                path.write_text(LISTS[kind].format(target), "utf-8")
                refused(path, settings, UnreadableMedia, name)
    finally:
        server.shutdown()
        server.server_close()
    assert asked == []


def test_a_list_that_passes_for_binary_is_refused_by_the_whitelist(
    tmp_path: Path, film: Path, settings: Settings
) -> None:
    """The second wall: what the sniffer takes for no text is still opened by no demuxer that follows lists."""
    shutil.copy(film, tmp_path / "neighbour.mp4")
    path = tmp_path / "list.mp4"
    path.write_bytes(b"ffconcat version 1.0\nfile neighbour.mp4\n# \1\2\n")
    sniff(path, most_bytes=settings.max_source_bytes)
    refused(path, settings, UnreadableMedia, "list.mp4")


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"<!DOCTYPE html><html><title>404</title>", "web page"),
        (b"%PDF-1.7\n", "PDF"),
        (b"PK\x03\x04....", "ZIP"),
        ("Sehr geehrte Damen und Herren, …".encode(), "text"),
        ("\ufeffBonjour".encode("utf-16"), "text"),
    ],
)
def test_what_it_is_instead_is_said(tmp_path: Path, settings: Settings, content: bytes, word: str) -> None:
    path = tmp_path / "talk.mp4"
    path.write_bytes(content)
    refused(path, settings, UnreadableMedia, "talk.mp4", word)


def test_no_audio_track(make: Make, frames: Inputs, settings: Settings) -> None:
    refused(make("silent.mp4", *frames(1)), settings, UnreadableMedia, "silent.mp4 has no audio track")


def test_a_wrong_audio_track_names_those_there_are(make: Make, film: Path, settings: Settings) -> None:
    two = make("two.mp4", "-i", film, "-map", "0", "-map", "0:a", "-c", "copy", "-metadata:s:a:1", "language=deu")
    error = refused(two, settings, UnreadableMedia, "2 audio tracks", "--audio-track", track=2)
    assert "0: English aac mono" in str(error)
    assert "1: German aac mono" in str(error)
    refused(two, settings, UnreadableMedia, track=-1)
    assert probe(two, settings, 1).audio[1].language == "de"


@pytest.mark.parametrize("name", ["tail.mp4", "faststart.mp4", "film.mkv", "sound.wav", "sound.mp3", "fragments.mp4"])
def test_cut_files_are_told_from_whole_ones(make: Make, film: Path, settings: Settings, name: str) -> None:
    how = {
        "tail.mp4": ["-c", "copy"],
        "faststart.mp4": ["-c", "copy", "-movflags", "faststart"],
        "film.mkv": ["-c", "copy"],
        "sound.wav": ["-vn"],
        "sound.mp3": ["-vn", "-c:a", "libmp3lame"],
        "fragments.mp4": ["-c", "copy", "-movflags", "frag_keyframe+empty_moov+global_sidx"],
    }
    path = make(name, "-i", film, *how[name])
    probe(path, settings)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size * 55 // 100)
    error = refused(path, settings, TruncatedMedia, name)
    if name in ("faststart.mp4", "film.mkv", "sound.wav", "sound.mp3"):
        claimed, decoded = error.evidence["claimed_s"], error.evidence["decoded_s"]
        assert isinstance(claimed, float)
        assert isinstance(decoded, float)
        assert claimed == pytest.approx(4.0, abs=0.1)
        assert 1.0 < decoded < 3.0


def test_a_last_frame_that_is_missing_is_no_truncation(make: Make, film: Path, settings: Settings) -> None:
    path = make("sound.wav", "-i", film, "-vn")
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 4_000)
    assert probe(path, settings).duration_s == pytest.approx(3.96, abs=0.02)


def test_limits_of_the_settings(make: Make, film: Path, beeps: Inputs, settings: Settings) -> None:
    refused(film, settings.model_copy(update={"max_duration_s": 3.0}), LimitExceeded, "SPEECHMILL_MAX_DURATION_S")
    refused(film, settings.model_copy(update={"max_source_bytes": 1000}), LimitExceeded, "SPEECHMILL_MAX_SOURCE_BYTES")
    surround = make("wide.wav", *beeps(1), "-ac", "6")
    refused(surround, settings.model_copy(update={"max_channels": 2}), LimitExceeded, "SPEECHMILL_MAX_CHANNELS")


def test_more_channels_than_there_are_loudspeakers_are_refused_before_they_are_decoded(
    make: Make, settings: Settings
) -> None:
    """A recorder's microphones: nobody says which is to be heard where."""
    tones = "|".join(["0.1*sin(2*PI*440*t)"] * 10)
    path = make("boom.wav", "-f", "lavfi", "-i", f"aevalsrc={tones}:d=1", "-c:a", "pcm_s16le")
    refused(path, settings, UnreadableMedia, "boom.wav", "10 channels", "stereo or 5.1")


def test_a_bomb_is_refused_before_it_is_decoded(make: Make, settings: Settings) -> None:
    """Ten hours of silence are a few MB of FLAC and 14 GB of sound."""
    bomb = make("bomb.flac", "-f", "lavfi", "-i", "anullsrc=r=8000:cl=mono", "-t", "2")
    data = bytearray(bomb.read_bytes())
    data[22:26] = (36_000 * 8000).to_bytes(4, "big")  # the number of samples in STREAMINFO
    bomb.write_bytes(data)
    refused(bomb, settings, LimitExceeded, "bomb.flac", "36000 s")


def test_a_bomb_that_says_nothing_of_its_length_is_measured(make: Make, settings: Settings) -> None:
    bomb = make("bomb.aac", "-f", "lavfi", "-i", "anullsrc=r=8000:cl=mono", "-t", "90", "-c:a", "aac")
    refused(bomb, settings.model_copy(update={"max_duration_s": 60.0}), LimitExceeded, "bomb.aac")


def test_a_picture_larger_than_any_memory(film: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing.ffmpeg, "MOST_PIXELS", 160 * 90 - 1)
    refused(film, settings, LimitExceeded, "talk.mp4", "160×90")


def test_cover_art_is_no_picture(make: Make, beeps: Inputs, frames: Inputs, settings: Settings) -> None:
    cover = make("cover.jpg", *frames(0.04), "-frames:v", "1")
    song = make("song.mp3", *beeps(2), "-i", cover, "-map", "0", "-map", "1", "-c:v", "copy",
                "-disposition:v", "attached_pic")  # fmt: skip
    found = probe(song, settings)
    assert found.picture is None
    assert found.duration_s == pytest.approx(2.0, abs=0.06)


def test_what_a_film_is(film: Path, settings: Settings) -> None:
    found = probe(film, settings)
    assert found.picture is not None
    assert (found.picture.codec, found.picture.width, found.picture.height) == ("h264", 160, 90)
    assert found.picture.fps == 25
    assert found.length_samples == 4 * 48_000
    assert [(t.codec, t.channels, t.layout, t.language) for t in found.audio] == [("aac", 1, "mono", "en")]
    assert found.metadata == {"title": "A talk"}
    assert len(found.sha256) == 64


def test_rotation_and_variable_frame_rate(
    make: Make, film: Path, frames: Inputs, beeps: Inputs, settings: Settings
) -> None:
    turned = make("turned.mp4", "-i", film, "-c", "copy", "-metadata:s:v", "rotate=90")
    picture = probe(turned, settings).picture
    assert picture is not None
    assert picture.rotation in (90, 270)
    uneven = make("uneven.mkv", *frames(4), *beeps(4), "-vf", "select='not(mod(n,3))+gt(n,60)'", "-fps_mode", "vfr",
                  "-c:v", "libx264", "-preset", "ultrafast")  # fmt: skip
    assert probe(uneven, settings).duration_s == pytest.approx(4.0, abs=0.05)


ODD_NAMES = [
    *("-i.mp4", "two words.mp4", 'it\'s "quoted".mp4', "naïve—日本語🎬.mp4", "new\nline.mp4", "a:b|c.mp4", "%d.mp4"),
    *("concat:a.mp4", "x;y&z$HOME.mp4", "[brackets]{}.mp4"),
]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names_are_names(
    tmp_path: Path, film: Path, settings: Settings, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(film, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert probe(Path(name), settings).duration_s == 4.0


def test_a_name_never_breaks_the_line_of_an_error(tmp_path: Path, settings: Settings) -> None:
    path = tmp_path / "new\nline\x1b[31m.mp4"
    path.write_bytes(b"\0\1\2" * 100)
    assert "new\\nline\\x1b[31m.mp4" in str(refused(path, settings, UnreadableMedia))
    raw = Path(os.fsdecode(bytes(tmp_path) + b"/b\xff.mp4"))
    refused(raw, settings, UnreadableMedia, "b\\xff.mp4").message.encode("utf-8")


def test_sound_that_outlasts_the_picture_is_kept(make: Make, frames: Inputs, beeps: Inputs, settings: Settings) -> None:
    """A second more is a loose end and goes; five are a still picture under a talk and stay."""
    loose = make("loose.mp4", *frames(3), *beeps(4), "-c:a", "aac")
    assert probe(loose, settings).duration_s == pytest.approx(3.0, abs=0.001)
    still = make("still.mp4", *frames(1), *beeps(6), "-c:a", "aac")
    assert probe(still, settings).duration_s == pytest.approx(6.0, abs=0.05)


def test_chapters_are_seen(make: Make, film: Path, tmp_path: Path, settings: Settings) -> None:
    (tmp_path / "chapters").write_text(
        ";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=1500\ntitle=One\n"
        "[CHAPTER]\nTIMEBASE=1/1000\nSTART=1500\nEND=4000\ntitle=Two\n"
    )
    path = make("chapters.mkv", "-i", film, "-i", tmp_path / "chapters", "-map_metadata", "1", "-c", "copy")
    found = probe(path, settings)
    assert [chapter.title for chapter in found.chapters] == ["One", "Two"]
    assert found.chapters[1].start_s == pytest.approx(1.5, abs=0.05)


MOOV = b"\0\0\0\x10ftypisom\0\0\0\0\0\0\0\x08moov"


@given(st.binary(max_size=5000))
def test_no_bytes_break_the_sniffer(content: bytes) -> None:
    """Whatever a head is, it is text, all of it but for a character that is cut, or not."""
    head = content[:4096]
    found = as_text(head)
    if found is not None and not head.startswith((b"\xff\xfe", b"\xfe\xff")):
        body = head.removeprefix(b"\xef\xbb\xbf")
        assert body.startswith(found.encode())
        assert len(body) - len(found.encode()) <= 3


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=3000))
def test_text_is_known_as_text_wherever_its_head_is_cut(text: str) -> None:
    assert as_text(text.encode()[:4096]) is not None


@given(
    head=st.sampled_from([b"RIFF\0\0\0\0WAVE", b"\0\0\0\x10ftypisom\0\0\0\0", MOOV, b"\x1aE\xdf\xa3"]),
    rest=st.binary(max_size=300),
)
def test_no_damage_breaks_the_walk_of_a_container(
    tmp_path_factory: pytest.TempPathFactory, head: bytes, rest: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / f"damaged-{os.getpid()}"
    path.write_bytes(head + rest)
    refused = ""
    try:
        found = sniff(path, most_bytes=1 << 40)
        assert found.size_bytes == len(head + rest)
    except BadInput as error:
        refused = str(error)
    assert "cannot be opened" not in refused  # that would be an error of ours
