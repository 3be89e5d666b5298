"""Scripts as people really have them."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechmill.errors import UnreadableScript
from speechmill.lines import RATE_HZ, Anchor, Doubt, Line, samples_of_ms
from tasks.text.cues import Cue
from tasks.text.scripts import Script, align, lines_of, read_script, read_translation


def stamp(ms: int) -> str:
    sign, ms = ("-", -ms) if ms < 0 else ("", ms)
    return f"{sign}{ms // 3_600_000:02}:{ms // 60_000 % 60:02}:{ms // 1000 % 60:02},{ms % 1000:03}"


def srt(*cues: tuple[int, int, str]) -> str:
    return "\n".join(f"{n}\n{stamp(a)} --> {stamp(b)}\n{text}\n" for n, (a, b, text) in enumerate(cues, 1))


def read(tmp_path: Path, text: str | bytes, language: str = "en", name: str = "talk.srt") -> Script:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_script(path, language)


def texts(script: Script) -> list[str]:
    return [line.text for line in script.lines]


def times_s(script: Script) -> list[tuple[float, float]]:
    return [(line.anchor.start_samples / RATE_HZ, line.anchor.end_samples / RATE_HZ) for line in script.lines]


def told(script: Script) -> str:
    return " ".join(repair.what for repair in script.repairs)


UMLAUTS = srt((1000, 3000, "Grüße aus Köln – façade, señor, 100 €"))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"])
@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_every_usual_encoding_and_line_end_is_read(tmp_path: Path, encoding: str, ends: str) -> None:
    assert texts(read(tmp_path, UMLAUTS.replace("\n", ends).encode(encoding), "de")) == [
        "Grüße aus Köln – façade, señor, 100 €"
    ]


def test_chinese_in_utf_16_without_a_mark_is_read(tmp_path: Path) -> None:
    assert texts(read(tmp_path, srt((0, 2000, "你好，\n世界。")).encode("utf-16-le"), "zh")) == ["你好，世界。"]


@pytest.mark.parametrize(
    ("content", "language", "what"),
    [
        (b"", "en", "is empty"),
        (b" \n\n", "en", "is empty"),
        (bytes(range(256)) * 40, "en", "is not a text file"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + b"\0\1\2\3" * 500, "en", "not"),
        (b"Dear all, the meeting is at 10:30.", "en", "is no SRT or WebVTT"),
        (b"WEBVTT\n\n", "en", "without a single cue"),
        (b"[Script Info]\nTitle: x\n[V4+ Styles]\n[Events]\n", "en", "SubStation Alpha"),
        (srt((1000, 2000, "Привет, мир")).encode("cp1251"), "ru", "encoding"),
        (srt((1000, 2000, "Zażółć gęślą jaźń")).encode("cp1250"), "pl", "encoding"),
        (b"1\n00:00:01,000 --> 00:00:xx,000\nHi\n", "en", "line 2"),
        (srt((1000, 2000, "♪♪♪"), (3000, 4000, "[door]")).encode(), "en", "no speech"),
        (b"1\n00:00:01,000 --> 00:00:02,000\n" + b"a" * (17 * 2**20), "en", "MiB"),
    ],
)
def test_what_is_no_script_is_refused_in_one_line(tmp_path: Path, content: bytes, language: str, what: str) -> None:
    with pytest.raises(UnreadableScript, match=what) as refused:
        read(tmp_path, content, language)
    assert "talk.srt" in str(refused.value)
    assert refused.value.hint
    assert "\n" not in str(refused.value)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.srt", tmp_path, Path("/dev/zero")):
        with pytest.raises(UnreadableScript):
            read_script(path, "en")


def test_webvtt_with_everything_in_it(tmp_path: Path) -> None:
    script = read(
        tmp_path,
        "WEBVTT - a talk\nKind: captions\n\nSTYLE\n::cue { color: red }\n\nNOTE\nnot said\nat all\n\nintro\n"
        "00:01.000 --> 00:02.500 align:start position:10%\n<v.loud Anna Lee>Hello <i>there</i>,\n<c.x>you</c> &amp; me"
        "\n\n"
        "NOTE one line\n\nsecond-cue\n00:03.000 --> 01:00:04.000\n<00:03.500>It is\n1984",
    )
    assert texts(script) == ["Hello there, you & me", "It is 1984"]
    assert script.lines[0].speaker == "Anna Lee"
    assert times_s(script) == [(1.0, 2.5), (3.0, 3604.0)]
    assert script.repairs == ()


def test_numbers_that_are_said_stay_and_numbers_of_cues_go(tmp_path: Path) -> None:
    script = read(tmp_path, srt((0, 1000, "1984"), (2000, 3000, "In\n2001"), (4000, 5000, "Five\n5")))
    assert texts(script) == ["1984", "In 2001", "Five 5"]


def test_tags_and_codes_are_stripped_and_hearts_are_not(tmp_path: Path) -> None:
    script = read(tmp_path, srt((0, 900, r'{\an8}<font color="#fff">I <3 you</font> a < b'), (1000, 2000, "x<br>y")))
    assert texts(script) == ["I <3 you a < b", "x y"]


@pytest.mark.parametrize(
    ("cues", "speakers", "said"),
    [
        (["ANNA: Hi.", "And more.", "BEN: Yes."], ["ANNA", "ANNA", "BEN"], ["Hi.", "And more.", "Yes."]),
        (["Anna: Hi.", "Anna: Bye."], ["Anna", "Anna"], ["Hi.", "Bye."]),
        (["Remember: it is late.", "It is 10:30."], ["", ""], ["Remember: it is late.", "It is 10:30."]),
        (["[Anna] Hi.", "[laughs] Yes."], ["Anna", ""], ["Hi.", "Yes."]),  # one name says nothing of the others
        (["JOHN: Hi.", "And more.", "Good.", "Bye."], ["JOHN", "", "", ""], ["Hi.", "And more.", "Good.", "Bye."]),
        (["WOMAN (V.O.): Where?", "MAN (ON PHONE): Here."], ["WOMAN", "MAN"], ["Where?", "Here."]),
        (["MAN: [shouting] Clouds!", "WOMAN: Yes."], ["MAN", "WOMAN"], ["Clouds!", "Yes."]),
        (["NOTE: the sun is hot.", "THE END: go home."], ["", ""], ["NOTE: the sun is hot.", "THE END: go home."]),
        (
            ["Step 2: pour.", "Step 3: wait.", "WARNING: hot!"],
            ["", "", ""],
            ["Step 2: pour.", "Step 3: wait.", "WARNING: hot!"],
        ),
        (["¡ATENCIÓN: el tren!", "NOTA: sale ya."], ["", ""], ["¡ATENCIÓN: el tren!", "NOTA: sale ya."]),
        (["DR. O'NEILL: Well.", "MAN 2: Hm, no."], ["DR. O'NEILL", "MAN 2"], ["Well.", "Hm, no."]),
        (["小明：你好。", "小明：再见。"], ["小明", "小明"], ["你好。", "再见。"]),
        (["- How are you?\n- Fine."], ["", ""], ["How are you?", "Fine."]),
        (["- ANNA: You?\n- BEN: Me."], ["ANNA", "BEN"], ["You?", "Me."]),
        (["ANNA:\nHello there."], ["ANNA"], ["Hello there."]),
        (["- Only one dash"], [""], ["- Only one dash"]),
    ],
)
def test_speakers_are_who_the_script_names(
    tmp_path: Path, cues: list[str], speakers: list[str], said: list[str]
) -> None:
    script = read(tmp_path, srt(*((n * 3000, n * 3000 + 2000, text) for n, text in enumerate(cues))))
    assert [line.speaker for line in script.lines] == speakers
    assert texts(script) == said


def test_names_that_are_rare_say_nothing_of_the_lines_between_them(tmp_path: Path) -> None:
    """Captions for the deaf name who cannot be seen; everybody else is not named at all."""
    said = [f"Line {n}." for n in range(40)]
    said[7], said[23] = "BEN: Off the picture.", "ANNA: Me too."
    script = read(tmp_path, srt(*((n * 3000, n * 3000 + 2000, text) for n, text in enumerate(said))))
    assert [line.speaker for line in script.lines if line.speaker] == ["BEN", "ANNA"]


def test_a_name_that_stands_only_once_is_told_since_it_is_not_spoken(tmp_path: Path) -> None:
    script = read(tmp_path, srt((0, 2000, "JOHN: Hi."), (3000, 5000, "ANNA: Yes."), (6000, 8000, "ANNA: No.")))
    assert "“JOHN” was taken for who speaks" in told(script)
    assert "ANNA" not in told(script)


def test_two_speakers_of_one_cue_share_its_time(tmp_path: Path) -> None:
    script = read(tmp_path, srt((1000, 5000, "<v Anna>Twelve chars<v Ben>Four")))
    assert [(line.speaker, line.text) for line in script.lines] == [("Anna", "Twelve chars"), ("Ben", "Four")]
    assert times_s(script) == [(1.0, 4.0), (4.0, 5.0)]
    assert "several speakers" in told(script)


@pytest.mark.parametrize("cue", ["[door slams]", "♪ la la ♪", "♪ la la", "(wind howls)", "[MUSIC]\n♪", "【笑】"])
def test_sounds_are_kept_but_not_spoken(tmp_path: Path, cue: str) -> None:
    script = read(tmp_path, srt((0, 1000, "Speech."), (2000, 3000, cue)))
    assert script.lines[1].doubts == (Doubt.SOUND_EFFECT,)
    assert [line.is_spoken for line in script.lines] == [True, False]


def test_a_sound_within_speech_is_left_out_and_told(tmp_path: Path) -> None:
    script = read(tmp_path, srt((0, 2000, "Well [sighs] yes ♪ la ♪")))
    assert texts(script) == ["Well yes"]
    assert "“[sighs]”, “♪ la ♪” is a sound" in told(script)


@pytest.mark.parametrize(
    ("cue", "said"),
    [
        ("(LAUGHS) The sun is hot.", "The sun is hot."),
        ("(sighs) Where does it go?", "Where does it go?"),
        ("Well (laughs nervously) yes.", "Well yes."),
        ("ANNA: (SIGHING) No.", "No."),
        ("It rains (as it should) in May.", "It rains (as it should) in May."),
        ("The BBC (UK) said so.", "The BBC (UK) said so."),
    ],
)
def test_sounds_in_round_brackets_are_told_from_what_is_said_by_the_way(tmp_path: Path, cue: str, said: str) -> None:
    assert texts(read(tmp_path, srt((0, 2000, cue), (3000, 4000, "ANNA: Yes.")))) == [said, "Yes."]


@pytest.mark.parametrize(
    ("cues", "times", "doubted", "what"),
    [
        ([(-2000, 1000)], [(0.0, 1.0)], [True], "before the programme"),
        ([(1000, 1000)], [(1.0, 2.379)], [True], "no length"),
        ([(3000, 1000)], [(3.0, 4.379)], [True], "ends before it starts"),
        ([(1000, 1000), (1500, 2500)], [(1.0, 1.5), (1.5, 2.5)], [True, False], "no length"),
        ([(5000, 6000), (1000, 2000)], [(1.0, 2.0), (5.0, 6.0)], [True, False], "put in its place"),
        ([(1000, 3000), (2000, 4000)], [(1.0, 2.0), (2.0, 4.0)], [True, False], "ran into the next line by 1.00 s"),
        ([(1000, 2100), (2000, 4000)], [(1.0, 2.0), (2.0, 4.0)], [False, False], "ran into the next line by 0.10 s"),
        ([(1000, 3000), (1000, 3000)], [(1.0, 2.0), (2.0, 3.0)], [True, True], "divided"),
        ([(1000, 2000), (2000, 3000)], [(1.0, 2.0), (2.0, 3.0)], [False, False], ""),
    ],
)
def test_impossible_times_are_repaired_and_told(
    tmp_path: Path, cues: list[tuple[int, int]], times: list[tuple[float, float]], doubted: list[bool], what: str
) -> None:
    script = read(tmp_path, srt(*((a, b, "Twenty letters, yes.") for a, b in cues)))
    assert times_s(script) == [pytest.approx(pair, abs=0.001) for pair in times]
    assert [Doubt.REPAIRED in line.doubts for line in script.lines] == doubted
    assert what in told(script)
    assert bool(script.repairs) == bool(what)


def test_two_named_people_may_talk_at_once(tmp_path: Path) -> None:
    parts = ((1000, 4000, "ANNA: One two."), (2000, 3000, "BEN: Three."), (3500, 5000, "ANNA: Four."))
    script = read(tmp_path, srt(*parts))
    assert times_s(script) == [(1.0, 3.5), (2.0, 3.0), (3.5, 5.0)]


def test_what_lies_after_the_end_is_left_out_and_told_and_another_programmes_script_refused(tmp_path: Path) -> None:
    (tmp_path / "a.srt").write_text(srt((0, 2000, "In."), (4000, 9000, "Over."), (20_000, 21_000, "Out.")))
    script = read_script(tmp_path / "a.srt", "en", length_samples=5 * RATE_HZ)
    assert times_s(script) == [(0.0, 2.0), (4.0, 5.0)]
    assert "“Out.” at 0:00:20.0 is after the end" in told(script)
    with pytest.raises(UnreadableScript, match=r"lies after the end of the programme, which lasts 0:00:03"):
        read_script(tmp_path / "a.srt", "en", length_samples=3 * RATE_HZ)


times = st.integers(-5_000, 100_000)
said = st.text("ab .", min_size=1, max_size=40)
cues = st.lists(
    st.builds(Cue, number=st.integers(1, 99), start_ms=times, end_ms=times, text=said,
              speaker=st.sampled_from(["", "ANNA"]), sound=st.booleans()), max_size=30)  # fmt: skip


@given(cues)
def test_whatever_the_times_no_speech_is_lost_and_nobody_says_two_things_at_once(given_cues: list[Cue]) -> None:
    script = lines_of(given_cues, "en")
    said = sorted(cue.text for cue in given_cues if "a" in cue.text or "b" in cue.text or cue.sound)
    assert sorted(line.text for line in script.lines) == said
    assert [line.id for line in script.lines] == [f"{n:04}" for n in range(1, len(said) + 1)]
    starts = [line.anchor.start_samples for line in script.lines]
    assert starts == sorted(starts)
    assert all(0 <= line.anchor.start_samples < line.anchor.end_samples for line in script.lines)
    for speaker in ("", "ANNA"):
        spoken = [line.anchor for line in script.lines if line.speaker == speaker and line.is_spoken]
        assert all(a.end_samples <= b.start_samples for a, b in pairwise(spoken))


def line(n: int, start_ms: int, end_ms: int, text: str = "x") -> Line:
    return Line(f"{n:04}", "", "en", text, anchor=Anchor(samples_of_ms(start_ms), samples_of_ms(end_ms)))


SOURCE = [line(n, n * 3000, n * 3000 + 2000, f"line {n}") for n in range(1, 6)]


def translated(tmp_path: Path, *cues: tuple[int, int, str]) -> object:
    (tmp_path / "t.srt").write_text(srt(*cues))
    return read_translation(tmp_path / "t.srt", "es", SOURCE)


def test_a_translation_of_the_same_shape_goes_cue_by_cue(tmp_path: Path) -> None:
    found = translated(tmp_path, *((n * 3000 + 300, n * 3000 + 2500, f"ANA: línea {n}") for n in range(1, 6)))
    assert found.texts == {f"{n:04}": f"línea {n}" for n in range(1, 6)}
    assert found.missing == ()


def test_a_missing_cue_moves_nothing(tmp_path: Path) -> None:
    found = translated(tmp_path, *((n * 3000, n * 3000 + 2000, f"línea {n}") for n in (1, 2, 4, 5)))
    assert found.texts == {f"{n:04}": f"línea {n}" for n in (1, 2, 4, 5)}
    assert found.missing == ("0003",)


def test_the_same_number_of_cues_at_other_times_is_not_taken_one_by_one(tmp_path: Path) -> None:
    found = translated(tmp_path, *((n * 3000, n * 3000 + 2000, f"línea {n}") for n in (2, 3, 4, 5, 6)))
    assert found.texts == {f"{n:04}": f"línea {n}" for n in (2, 3, 4, 5)}
    assert found.missing == ("0001",)
    assert "“línea 6” at 0:00:18.0 belongs to no line" in " ".join(r.what for r in found.repairs)


def test_two_cues_for_one_line_are_joined_in_order(tmp_path: Path) -> None:
    found = translated(tmp_path, (3000, 4000, "uno"), (4000, 5000, "dos"), *(
        (n * 3000, n * 3000 + 2000, f"línea {n}") for n in range(2, 6)))  # fmt: skip
    assert found.texts["0001"] == "uno dos"
    assert found.texts["0005"] == "línea 5"


def test_one_cue_over_two_lines_says_both(tmp_path: Path) -> None:
    found = translated(tmp_path, (3000, 8000, "uno y dos"), (9000, 11_000, "tres"), (12_200, 16_900, "cuatro y cinco"))
    assert found.texts == {"0001": "uno y dos", "0003": "tres", "0004": "cuatro y cinco"}
    assert found.joined == {"0002": "0001", "0005": "0004"}
    assert found.missing == ()
    assert "part of line 0001's" in " ".join(repair.what for repair in found.repairs)


def test_a_line_that_a_cue_only_touches_is_not_said_by_it(tmp_path: Path) -> None:
    found = translated(tmp_path, (3000, 6400, "uno"), *((n * 3000, n * 3000 + 2000, f"línea {n}") for n in (3, 4, 5)))
    assert (found.joined, found.missing) == ({}, ("0002",))


def test_a_translation_of_another_programme_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableScript, match="no text at the times"):
        translated(tmp_path, (100_000, 101_000, "nada"))


@given(st.sets(st.integers(0, 39)), st.lists(st.integers(-300, 300), min_size=40, max_size=40))
def test_no_text_ever_slips_to_another_line(kept: set[int], shifts: list[int]) -> None:
    source = [line(n, n * 2500, n * 2500 + 2000, str(n)) for n in range(40)]
    given_lines = [line(n, max(0, n * 2500 + shifts[n]), n * 2500 + 2000 + shifts[n], str(n)) for n in sorted(kept)]
    found = align(source, given_lines)
    assert found.texts == {f"{n:04}": str(n) for n in kept}
    assert set(found.missing) == {f"{n:04}" for n in range(40)} - set(found.texts)
