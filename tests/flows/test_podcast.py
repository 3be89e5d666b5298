"""Episodes from the outside: a document or a script in, a package out, measured."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import feedparser
import numpy as np
import pytest
import soundfile

from tests.flows.articles import rehearse
from tests.flows.conftest import Speechmill


def test_an_article_becomes_an_episode_with_everything_beside_it(
    speechmill: Speechmill, article: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    ran = rehearse(speechmill, article, out, "--format", "dialogue")
    assert ran.code == 0, ran.err
    visible = {file.name for file in out.iterdir() if not file.name.startswith(".")}
    assert visible == {
        "episode.mp3", "episode.flac", "transcript.vtt", "transcript.srt", "transcript.json", "chapters.json",
        "shownotes.md", "script.json", "cover.jpg", "feed.xml", "report.html", "report.json",
    }  # fmt: skip
    episode = ran.report["episode"]
    assert episode["loudness"]["integrated_lufs"] == pytest.approx(-19, abs=0.5)  # mono
    assert episode["loudness"]["true_peak_dbtp"] < -1
    assert [chapter["title"] for chapter in episode["chapters"]] == ["Opening", "A morning walk", "The river", "Home"]
    assert feedparser.parse((out / "feed.xml").read_bytes()).feed.author == "Ana Prat"
    assert episode["lines"][0]["id"] == "disclosure"
    assert len({line["voice"] for line in episode["lines"]}) == 2
    assert all(line["lost_ms"] == 0 for line in episode["lines"])
    assert not any("not read" in line["text"] for line in episode["lines"])


def in_seconds(time: str) -> float:
    *above, rest = time.replace(",", ".").split(":")
    return sum(int(part) * 60 ** (len(above) - at) for at, part in enumerate(above)) + float(rest)


def test_chapters_and_gaps_are_where_they_are_said_to_be(speechmill: Speechmill, tmp_path: Path) -> None:
    script = tmp_path / "script.json"
    script.write_text(
        json.dumps(
            {
                "title": "Gaps",
                "language": "en",
                "speakers": {"A": {}, "B": {}},
                "lines": [
                    {"id": "1", "speaker": "A", "text": "The first thing that is said.", "chapter": "One"},
                    {"id": "2", "speaker": "B", "text": "The second thing that is said.", "gap_ms": 700},
                    {"id": "3", "speaker": "A", "text": "The third, over the second.", "gap_ms": -300},
                    {"id": "4", "speaker": "B", "text": "And something else.", "chapter": "Two"},
                ],
            }
        ),
        "utf-8",
    )
    out = tmp_path / "out"
    ran = rehearse(speechmill, script, out)
    assert ran.code == 0, ran.err
    lines = {line["id"]: line for line in ran.report["episode"]["lines"]}
    assert lines["2"]["placed_start_s"] - lines["1"]["placed_end_s"] == pytest.approx(0.7, abs=0.005)
    assert lines["3"]["placed_start_s"] - lines["2"]["placed_end_s"] == pytest.approx(-0.3, abs=0.005)
    probed = json.loads(
        subprocess.run(
            ["ffprobe", "-v", "error", "-of", "json", "-show_chapters", str(out / "episode.mp3")],
            check=True,
            capture_output=True,
        ).stdout
    )["chapters"]
    assert float(probed[1]["start_time"]) == pytest.approx(lines["1"]["placed_start_s"], abs=0.02)
    assert float(probed[2]["start_time"]) == pytest.approx(lines["4"]["placed_start_s"], abs=0.02)

    # Every cue, in every form, is where its line is heard; what is not overlapped begins out of silence there.
    cues = json.loads((out / "transcript.json").read_text("utf-8"))["segments"]
    sound, rate = soundfile.read(out / "episode.flac")
    spoken = [line for line in ran.report["episode"]["lines"] if line["placed_start_s"] is not None]
    assert len(cues) == len(spoken) == 5
    for name in ("transcript.vtt", "transcript.srt"):
        times = re.findall(r"([\d:]+[.,]\d{3}) --> ([\d:]+[.,]\d{3})", (out / name).read_text("utf-8"))
        assert [tuple(map(in_seconds, pair)) for pair in times] == [
            (pytest.approx(cue["startTime"], abs=0.002), pytest.approx(cue["endTime"], abs=0.002)) for cue in cues
        ]
    for cue, line in zip(cues, spoken, strict=True):
        assert cue["body"] == line["text"]
        assert cue["startTime"] == pytest.approx(line["placed_start_s"], abs=0.05)
        assert cue["endTime"] == pytest.approx(line["placed_end_s"], abs=0.05)
        if line["id"] == "3":
            continue  # it begins under the line before
        window = sound[round((cue["startTime"] - 0.2) * rate) : round((cue["startTime"] + 0.2) * rate)]
        begins = np.flatnonzero(np.abs(window) > 0.1 * np.abs(window).max())[0] / rate - 0.2
        assert begins == pytest.approx(0, abs=0.05)

    feed = feedparser.parse((out / "feed.xml").read_bytes())
    assert not feed.bozo
    assert int(feed.entries[0].enclosures[0].length) == (out / "episode.mp3").stat().st_size
    info = soundfile.info(out / "episode.flac")
    assert info.duration == pytest.approx(ran.report["episode"]["duration_s"], abs=0.001)


def test_one_edited_line_is_one_speak_call_and_reaches_the_transcript(
    speechmill: Speechmill, article: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    first = rehearse(speechmill, article, out)
    line = first.report["episode"]["lines"][1]
    assert speechmill("edit", first.result["job"], line["id"], "--text", "Nobody was awake yet.").code == 0
    told = {row["id"]: row["verdict"] for row in speechmill("lines", first.result["job"], "--json").result["lines"]}
    assert told.pop(line["id"]) == "stale"
    assert set(told.values()) == {"passed"}
    again = speechmill("retake", first.result["job"], "--json", "--no-prefect")
    assert again.code == 0, again.err
    assert again.report["work"]["speak_calls"] == 1
    assert "Nobody was awake yet." in (out / "transcript.vtt").read_text("utf-8")
    assert "Nobody was awake yet." in (out / "script.json").read_text("utf-8")


def test_what_is_heard_before_an_edited_line_is_not_rendered_again(speechmill: Speechmill, tmp_path: Path) -> None:
    source, out = tmp_path / "walk.txt", tmp_path / "out"
    seen = (
        "On the river we saw {0} and more {0}, and none of them saw us at all, nor did we tell anybody of {0} at home."
    )
    source.write_text("\n\n".join(map(seen.format, ("herons", "eels", "otters", "geese"))), "utf-8")
    first = speechmill("podcast", source, "--out", out, "--no-prefect", "--json")
    assert first.code == 0, first.err
    last = first.report["episode"]["lines"][-1]
    speechmill("edit", first.result["job"], last["id"], "--text", "Then it was night, and we went home.")
    again = speechmill("retake", first.result["job"], "--json", "--no-prefect")
    assert again.code == 0, again.err
    mastered = next(stage for stage in again.report["stages"] if stage["name"].startswith("master"))
    parts_before = int(last["placed_start_s"] // 6.4) - 1  # of the first units, and one whose meter looks ahead
    assert parts_before > 0
    assert mastered["reused"] >= 3 * parts_before, mastered  # measured, rendered, encoded


def test_an_audiobook_is_left_beside_it_where_one_is_asked_for(
    speechmill: Speechmill, article: Path, tmp_path: Path
) -> None:
    ran = rehearse(speechmill, article, tmp_path / "out", "--m4b")
    assert ran.code == 0, ran.err
    assert ran.report["episode"]["outputs"]["mp4"] == "episode.m4b"
    lengths_s, chapters = [], []
    for name in ("episode.mp3", "episode.m4b"):
        argv = ["ffprobe", "-v", "error", "-of", "json", "-show_chapters", "-show_format", tmp_path / "out" / name]
        found = json.loads(subprocess.run(argv, check=True, capture_output=True).stdout)
        lengths_s.append(float(found["format"]["duration"]))
        chapters.append([chapter["tags"]["title"] for chapter in found["chapters"]])
    assert chapters[0] == chapters[1] != []
    assert lengths_s[0] == pytest.approx(lengths_s[1], abs=0.05)
    assert speechmill("lint-feed", tmp_path / "out" / "feed.xml").code == 0


def test_the_script_that_is_left_is_as_good_a_source(speechmill: Speechmill, article: Path, tmp_path: Path) -> None:
    first = rehearse(speechmill, article, tmp_path / "one")
    again = rehearse(speechmill, tmp_path / "one" / "script.json", tmp_path / "two")
    assert again.code == 0, again.err
    assert again.report["work"]["speak_calls"] == 0
    texts = [[line["text"] for line in ran.report["episode"]["lines"]] for ran in (first, again)]
    assert texts[0] == texts[1]


TALK = {
    "title": "Harbour talk",
    "language": "en",
    "speakers": {"HOST": {"name": "Ana", "role": "host"}, "BEN": {}, "CAT": {"name": "Cat"}},
    "lines": [
        {
            "id": "1",
            "speaker": "HOST",
            "text": "Welcome to the harbour of the SQL ferry.",
            "chapter": "Ferry",
        },
        {
            "id": "2",
            "speaker": "BEN",
            "text": "I was on the quay, and I remember the fog and the bell.",
            "gap_ms": 300,
        },
        {"id": "3", "speaker": "CAT", "text": "Mm-hm.", "kind": "backchannel"},
        {"id": "4", "speaker": "CAT", "text": "Wait, which bell was that?", "kind": "interruption"},
        {"id": "5", "speaker": "BEN", "text": "The old one, on the lighthouse.", "gap_ms": 250},
        {"id": "6", "speaker": "HOST", "text": "And that is all there was.", "gap_ms": -600},
        {"id": "7", "speaker": "CAT", "text": "Good night to all of you.", "chapter": "Home", "gap_ms": 1500},
    ],
}
CAST = """
[HOST]
voice = "tone 205 Hz"
pan = -1
[BEN]
voice = "tone 110 Hz"
pan = 1
rate = 0.9
[CAT]
pitch = 2
consent = {who = "Cat Jones", when = 2026-05-01, scope = "Harbour talk"}
"""


def test_a_talk_of_three_is_heard_as_its_script_and_cast_say(speechmill: Speechmill, tmp_path: Path) -> None:
    source, cast, lexicon, out = (tmp_path / name for name in ("talk.json", "cast.toml", "lexicon.csv", "out"))
    source.write_text(json.dumps(TALK), "utf-8")
    cast.write_text(CAST, "utf-8")
    lexicon.write_text("SQL,sequel\n", "utf-8")
    asked = ["--cast", cast, "--lexicon", lexicon, "--intro", "simple", "--bed", "simple", "--outro", "simple"]
    ran = rehearse(speechmill, source, out, "--stems", *asked)
    assert ran.code == 0, ran.err
    report = ran.report["episode"]
    assert report["channels"] == 2
    assert report["loudness"]["integrated_lufs"] == pytest.approx(-16, abs=0.5)
    assert report["loudness"]["true_peak_dbtp"] < -1
    lines = {line["id"]: line for line in report["lines"]}
    starts = {id: line["placed_start_s"] for id, line in lines.items()}
    ends = {id: line["placed_end_s"] for id, line in lines.items()}
    for line, before, gap_s in (("2", "1", 0.3), ("4", "2", -0.4), ("5", "4", 0.25), ("6", "5", -0.6), ("7", "6", 1.5)):
        assert starts[line] - ends[before] == pytest.approx(gap_s, abs=0.005)
    assert starts["2"] < starts["3"] < ends["3"] < ends["2"]
    assert "sequel" in lines["1"]["spoken"]
    assert starts["disclosure"] == pytest.approx(4.0, abs=0.001)  # the intro has 6 s; the last two are under speech

    # Chapters and cues lie where their lines are, behind an intro and a disclosure.
    argv = ["ffprobe", "-v", "error", "-of", "json", "-show_chapters", str(out / "episode.mp3")]
    marks = json.loads(subprocess.run(argv, check=True, capture_output=True).stdout)["chapters"]
    found = {mark["tags"]["title"]: float(mark["start_time"]) for mark in marks}
    assert found == {
        "Opening": 0.0, "Ferry": pytest.approx(starts["1"], abs=0.02), "Home": pytest.approx(starts["7"], abs=0.02)
    }  # fmt: skip
    cues = json.loads((out / "transcript.json").read_text("utf-8"))["segments"]
    for id, text in (("1", "Welcome"), ("7", "Good")):
        assert next(cue["startTime"] for cue in cues if text in cue["body"]) == pytest.approx(starts[id], abs=0.05)

    # The host sits on the left, Ben on the right, Cat between them: so the channels are their stems.
    sound, rate = soundfile.read(out / "episode.flac")

    def levels_db(start_s: float, end_s: float) -> np.ndarray:
        part = sound[round(start_s * rate) : round(end_s * rate)]
        return np.asarray(10 * np.log10((part**2).mean(axis=0)))

    alone = (("1", ends["1"]), ("2", starts["3"]), ("7", ends["7"]))
    host, ben, cat = (levels_db(starts[id], until) for id, until in alone)
    assert host[0] > host[1] + 10
    assert ben[1] > ben[0] + 10
    assert abs(cat[0] - cat[1]) < 1
    powers = [10 * np.log10((10 ** (each / 10)).sum()) for each in (host, ben, cat)]
    assert max(powers) - min(powers) < 2.5  # dB: everybody is as loud, wherever they sit
    # Alone, everybody is heard where they speak and nowhere else; an overlap is on both of its stems, whole.
    outputs = report["outputs"]
    stems = {who: soundfile.read(out / outputs[f"stem {who}"])[0] for who in ("HOST", "BEN", "CAT")}
    assert all(stem.shape == sound.shape for stem in stems.values())

    def is_heard(who: str, start_s: float, end_s: float) -> bool:
        return bool(np.abs(stems[who][round(start_s * rate) : round(end_s * rate)]).max() > 1e-3)

    speakers = {line["id"]: line["speaker"] for line in TALK["lines"]} | {"disclosure": "HOST"}
    for id, line in lines.items():
        whole = (line["placed_start_s"] + 0.05, line["placed_end_s"] - 0.05)
        assert is_heard(speakers[id], whole[0], whole[0] + 0.2)
        assert is_heard(speakers[id], whole[1] - 0.2, whole[1])
        others = {speakers[o] for o in lines if starts[o] < whole[1] + 0.1 and ends[o] > whole[0] - 0.1}
        assert not any(is_heard(who, *whole) for who in stems.keys() - others)
    assert is_heard("HOST", starts["6"] + 0.05, ends["5"] - 0.05)
    assert is_heard("BEN", starts["6"] + 0.05, ends["5"] - 0.05)

    both = levels_db(starts["6"] + 0.05, ends["5"] - 0.05)
    assert min(both) > max(powers) - 10  # an overlap is heard from both seats at once

    # One edited line is one speak call, and all that follows is made again.
    assert speechmill("edit", ran.result["job"], "5", "--text", "The very old one, on the lighthouse.").code == 0
    again = speechmill("retake", ran.result["job"], "--json", "--no-prefect")
    assert again.code == 0, again.err
    assert again.report["work"]["speak_calls"] == 1
    after = {line["id"]: line for line in again.report["episode"]["lines"]}
    assert after["6"]["placed_start_s"] - after["5"]["placed_end_s"] == pytest.approx(-0.6, abs=0.005)
    assert after["7"]["placed_start_s"] > starts["7"]
    home = again.report["episode"]["chapters"][-1]
    assert home["start_s"] == pytest.approx(after["7"]["placed_start_s"], abs=0.001)
    assert "The very old one" in (out / "transcript.vtt").read_text("utf-8")
    made = after["5"]["production"]
    assert (made["engine"], made["voice"], made["pace"]) == ("rehearsal", "tone 110 Hz", 0.9)
    assert made["takes"][0]["recipe"] == made["recipe"]
    consent = next(member["consent"] for member in again.report["episode"]["cast"] if member["speaker"] == "CAT")
    assert consent == {"who": "Cat Jones", "when": "2026-05-01", "scope": "Harbour talk"}


@pytest.mark.parametrize(
    ("option", "content", "said"),
    [
        ("--cast", "[HOST]\nvoce = 1\n", "did you mean “voice”?"),
        ("--cast", "[HOTS]\npan = 0\n", "did you mean HOST?"),
        ("--cast", '[HOST]\nvoice = "nobody"\n', "has no voice “nobody”"),
        ("--lexicon", "SQL,[[s]]\n", "markup"),
        ("--bed", "no music\n", "bed.txt"),
    ],
)
def test_what_is_beside_a_script_and_wrong_is_refused_in_one_line(
    speechmill: Speechmill, tmp_path: Path, option: str, content: str, said: str
) -> None:
    source, file, out = tmp_path / "talk.json", tmp_path / f"{option[2:]}.txt", tmp_path / "out"
    source.write_text(json.dumps(TALK), "utf-8")
    file.write_text(content, "utf-8")
    ran = rehearse(speechmill, source, out, option, file)
    assert ran.code == 3
    assert said in ran.err.strip().splitlines()[-1]
    assert not out.exists()


def test_the_feed_passes_the_lint(speechmill: Speechmill, article: Path, tmp_path: Path) -> None:
    rehearse(speechmill, article, tmp_path / "out")
    linted = speechmill("lint-feed", tmp_path / "out" / "feed.xml", "--json")
    assert linted.code == 0, linted.out


def test_a_preview_tells_what_is_read_and_what_is_not_and_makes_nothing(
    speechmill: Speechmill, article: Path, tmp_path: Path
) -> None:
    ran = speechmill("podcast", article, "--preview", "--out", tmp_path / "out")
    assert ran.code == 0
    assert "twelve boats" in ran.out
    assert "not read" in ran.out.lower()
    assert not (tmp_path / "out").exists()


def test_a_preview_refuses_what_the_run_refuses(speechmill: Speechmill, article: Path, tmp_path: Path) -> None:
    cast, japanese = tmp_path / "cast.toml", tmp_path / "ja.txt"
    cast.write_text('[READER]\nvoice = "nosuch"\n')
    japanese.write_text("汽車は九時に出ます。だれもその理由を知りません。", "utf-8")
    for arguments, code, said in (
        ((article, "--cast", cast), 3, "no voice “nosuch”"),
        ((japanese,), 3, "Japanese"),
        ((article, "--engine", "mimo"), 4, "MIMO"),
        ((article, "--profile", "loud"), 3, "loud"),
    ):
        ran = speechmill("podcast", *arguments, "--preview")
        assert (ran.code, ran.out) == (code, "")
        assert said in ran.err.strip().splitlines()[-1]


@pytest.mark.parametrize("content", [b"", b"\x00\x01\x02" * 100])
def test_a_document_that_cannot_be_read_is_refused_in_one_line(
    speechmill: Speechmill, tmp_path: Path, content: bytes
) -> None:
    file = tmp_path / "bad.md"
    file.write_bytes(content)
    ran = rehearse(speechmill, file, tmp_path / "out")
    assert ran.code == 3
    assert "bad.md" in ran.err.strip().splitlines()[-1]
    assert not (tmp_path / "out").exists()
