"""``script.json``, edited by hand, is as good a source as a document; slips are repaired and told, or refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from speechmill.episodes import EpisodeScript, Format
from speechmill.errors import BadInput
from speechmill.settings import Settings
from tasks.documents.blocks import Document
from tasks.scriptwriting.keeping import read_script, script_json
from tasks.scriptwriting.writing import write_script

GOOD: dict[str, Any] = {
    "title": "Trains",
    "language": "en",
    "speakers": {"HOST": {"name": "Ana"}, "GUEST": {}},
    "lines": [
        {"id": "a", "speaker": "HOST", "text": "It costs $5.", "chapter": "Money"},
        {"id": "b", "speaker": "GUEST", "text": "Really?", "gap_ms": -200, "style": "surprised"},
    ],
}


def read(tmp_path: Path, content: Any) -> EpisodeScript:
    path = tmp_path / "script.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
    return read_script(path)


def changed(**changes: Any) -> dict[str, Any]:
    return {**json.loads(json.dumps(GOOD)), **changes}


def with_line(**changes: Any) -> dict[str, Any]:
    body = changed()
    body["lines"][1].update(changes)
    return body


def told(script: EpisodeScript) -> str:
    return " ".join(repair.what for repair in script.writing.repairs)


def test_a_script_by_hand(tmp_path: Path) -> None:
    script = read(tmp_path, GOOD)
    assert script.lines[0].said == "It costs five dollars."
    assert (script.lines[1].gap_ms, script.lines[1].style) == (-200, "surprised")
    assert script.name_of("HOST") == "Ana"
    assert [chapter.title for chapter in script.chapters()] == ["Money"]
    assert not script.writing.repairs


def test_an_overlap_is_no_time_before_the_beginning(tmp_path: Path) -> None:
    script = read(tmp_path, with_line(gap_ms=-60_000))
    assert 0.02 < script.writing.minutes < 0.1


def test_what_is_left_reads_as_it_was(article: Document, offline: Settings, tmp_path: Path) -> None:
    script = write_script(article, Format.LESSON, offline)
    assert read(tmp_path, script_json(script)).lines == script.lines


def test_an_edited_text_is_said_as_it_was_edited(article: Document, offline: Settings, tmp_path: Path) -> None:
    text = script_json(write_script(article, Format.READING, offline)).replace("since 1931", "since 1850")
    said = " ".join(line.said for line in read(tmp_path, text).lines)
    assert "eighteen fifty" in said
    assert "thirty-one" not in said


def test_how_a_line_is_said_is_not_said(tmp_path: Path) -> None:
    body = with_line(text="[laughs] Well, <b>yes</b>. [the king] left (sighs).")
    del body["lines"][1]["style"]
    body["lines"].append({"id": "c", "speaker": "HOST", "text": "[music]"})
    script = read(tmp_path, body)
    assert script.lines[1].text == "[laughs] Well, yes. [the king] left (sighs)."
    assert script.lines[1].said == "Well, yes. the king left."
    assert script.lines[1].style == "laughs, sighs"
    assert [line.id for line in script.lines] == ["a", "b"]
    assert "“[laughs]” and “(sighs)” are not said" in told(script)
    assert "without its tags" in told(script)


def test_a_spoken_form_by_hand_stays(tmp_path: Path) -> None:
    script = read(tmp_path, with_line(spoken="reely"))
    assert script.lines[1].said == "reely"
    assert read(tmp_path, script_json(script)).lines[1].said == "reely"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({**changed(language=""), "sorce": "a.md"}, "did you mean “source”"),
        (changed(mood="dark"), "“mood”"),
        (with_line(volume=3), "“volume” of line 2"),
        (with_line(id="a"), "id a"),
        (with_line(id=None), "has no id"),
        (with_line(speaker="guest"), "written GUEST"),
        (with_line(text="  "), "1 line without text"),
        (changed(speakers=None), "taken from its lines"),
        (changed(title=""), "no title"),
        (changed(language=""), "does not say its language"),
    ],
)
def test_slips_are_repaired_and_told(tmp_path: Path, body: Any, says: str) -> None:
    script = read(tmp_path, body)
    assert says in told(script)
    assert len({line.id for line in script.lines}) == len(script.lines)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("{", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("[]", "no lines"),
        (changed(lines=[]), "no lines"),
        (changed(lines=["hello"]), "is no line"),
        (changed(lines=[{"id": "a", "speaker": "HOST", "text": "[music]"}]), "nothing in the script is said"),
        (with_line(speaker="GEUST"), "did you mean GUEST"),
        (with_line(speaker="NOBODY"), "HOST, GUEST"),
        (with_line(speaker=7), "speaker"),
        (with_line(gap_ms="soon"), "line b gap_ms"),
        (with_line(gap_ms=10**9), "line b gap_ms"),
        (with_line(text="x" * 5000), "line b text"),
        (with_line(language="klingonese"), "is not a language"),
        (changed(speakers={"HOST": 3}), "speaker HOST"),
        (changed(lines=[{"id": "a", "speaker": "HOST", "text": " "}]), "lines"),
    ],
)
def test_what_only_its_author_can_mend_is_refused_in_one_line(tmp_path: Path, body: Any, says: str) -> None:
    with pytest.raises(BadInput) as raised:
        read(tmp_path, body)
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)
    assert raised.value.exit_code == 3
