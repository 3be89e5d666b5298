"""Casts: who speaks with which voice, and nobody silently with another's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from model_worker.engines.registry import Choice, engine
from speechmill.episodes import EpisodeScript, ScriptLine, ScriptSpeaker
from speechmill.errors import BadInput
from speechmill.settings import Settings
from speechmill.voices import Cast, Voice
from tasks import casting
from tasks.casting import check_apart, seats, sharing
from tasks.casts import joined, read_cast
from tasks.workplace import Workplace, open_catalog, workplace

CONSENT = 'consent = {who = "Ana Prat", when = 2026-05-01, scope = "this show"}'


def script(**speakers: ScriptSpeaker) -> EpisodeScript:
    lines = [ScriptLine(id=str(n), speaker=speaker, text="Hello.") for n, speaker in enumerate(speakers)]
    return EpisodeScript(title="T", language="en", speakers=speakers, lines=tuple(lines))


class Silent:
    """Nobody watches."""

    def say(self, sentence: str) -> None: ...
    def stage(self, name: str, done: int, total: int | None) -> None: ...
    def stage_ended(self, name: str, seconds: float, made: int, reused: int) -> None: ...


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Workplace]:
    chosen = Settings(home=tmp_path / "home")
    catalog = open_catalog(chosen)
    job = catalog.add_job("podcast", {}, "0" * 64, str(tmp_path / "out"), job_id="20260101-000000-abcde")
    yield workplace(chosen, catalog, job.id, Silent())
    catalog.close()


def cast_of(place: Workplace, members: dict[str, ScriptSpeaker], name: str = "rehearsal") -> Cast:
    crew = Choice(None, None, engine(name, place.settings))
    return casting.cast(place, casting.speakers_of(script(**members)), "en", crew, members)


def test_a_cast_file_says_all_there_is_to_say_of_a_speaker(tmp_path: Path) -> None:
    file = tmp_path / "cast.toml"
    file.write_text(
        f'[HOST]\nname = "Ana"\nvoice = "f2"\npitch = -1\nrate = 1.1\npan = -0.4\nreference = "ana.wav"\n{CONSENT}\n'
    )
    host = read_cast(file)["HOST"]
    assert (host.name, host.voice, host.pitch, host.rate, host.pan) == ("Ana", "f2", -1, 1.1, -0.4)
    assert host.reference == str(tmp_path / "ana.wav")
    assert host.consent is not None
    assert host.consent.when.isoformat() == "2026-05-01"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[HOST\n", "not TOML"),
        ("# nothing\n", "0 speakers"),
        ('voice = "f2"\n', "outside of any speaker"),
        ('[HOST]\nvoce = "f2"\n', "did you mean “voice”?"),
        ("[HOST]\npitch = 40\n", "HOST pitch"),
        ("[HOST]\nrate = 9\n", "HOST rate"),
        ("[HOST]\npan = -2\n", "HOST pan"),
        ('[HOST]\nconsent = {who = "Ana"}\n', "HOST consent when"),
    ],
)
def test_a_cast_file_that_is_wrong_is_refused_by_speaker_and_field(tmp_path: Path, content: str, said: str) -> None:
    file = tmp_path / "cast.toml"
    file.write_text(content)
    with pytest.raises(BadInput) as refused:
        read_cast(file)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_what_a_later_cast_says_goes_before_and_the_rest_stays() -> None:
    usual = {"A": ScriptSpeaker(name="Ana", voice="f2", pan=-0.2), "B": ScriptSpeaker(name="Ben")}
    found = joined(usual, {"A": ScriptSpeaker(voice="f5")})
    assert found["A"] == ScriptSpeaker(name="Ana", voice="f5", pan=-0.2)
    assert found["B"] == usual["B"]


def test_voices_that_nobody_named_are_not_like_those_that_somebody_did(place: Workplace) -> None:
    names = engine("rehearsal", place.settings).speaks.voice_names  # type: ignore[union-attr]
    members = {"A": ScriptSpeaker(), "B": ScriptSpeaker(voice=names[0]), "C": ScriptSpeaker()}
    found = cast_of(place, members)
    assert found["B"].name == names[0]
    assert len({voice.name for voice in found.values()}) == 3
    assert check_apart(found).passed
    assert place.catalog.cast(place.job, "en").keys() == found.keys()


def test_two_with_one_voice_are_told(place: Workplace) -> None:
    name = engine("rehearsal", place.settings).speaks.voice_names[0]  # type: ignore[union-attr]
    same = {speaker: ScriptSpeaker(voice=name) for speaker in "AB"}
    found = cast_of(place, {**same, "C": ScriptSpeaker()})
    assert sharing(found) == {"A": ("B",), "B": ("A",)}
    assert not check_apart(found).passed
    assert check_apart(cast_of(place, {**same, "B": ScriptSpeaker(voice=name, pitch=4)})).passed


def test_a_pitch_moves_the_voice_by_semitones(place: Workplace) -> None:
    plain, higher = (cast_of(place, {"A": ScriptSpeaker(pitch=pitch)})["A"].settings["pitch_hz"] for pitch in (0, 12))
    assert isinstance(plain, float)
    assert higher == pytest.approx(2 * plain)


@pytest.mark.parametrize(
    ("member", "said"),
    [
        (ScriptSpeaker(voice="nobody"), "has no voice “nobody”"),
        (ScriptSpeaker(reference="/tmp/ana.wav"), "imitates no recorded voice"),
    ],
)
@pytest.mark.parametrize("name", ["rehearsal", "offline"])
def test_what_an_engine_cannot_do_with_a_voice_is_refused(
    place: Workplace, member: ScriptSpeaker, said: str, name: str
) -> None:
    with pytest.raises(BadInput, match=said):
        cast_of(place, {"A": member}, name)


def test_a_consent_is_kept_with_the_voice(place: Workplace, tmp_path: Path) -> None:
    file = tmp_path / "cast.toml"
    file.write_text(f"[A]\n{CONSENT}\n")
    cast_of(place, read_cast(file))
    kept = place.catalog.cast(place.job, "en")["A"].consent
    assert kept is not None
    assert (kept.who, kept.when, kept.purpose) == ("Ana Prat", "2026-05-01", "this show")


@pytest.mark.parametrize(
    ("speakers", "places"),
    [
        ({"A": None}, {"A": 0.0}),
        ({"A": None, "B": None}, {"A": -0.35, "B": 0.35}),
        ({"A": None, "HOST": None, "C": None}, {"A": -0.5, "HOST": 0.0, "C": 0.5}),
        ({"A": 0.9, "HOST": None}, {"A": 0.9, "HOST": 0.0}),  # what the cast says stays
    ],
)
def test_seats_go_from_left_to_right_with_the_host_in_the_middle(
    speakers: dict[str, float | None], places: dict[str, float]
) -> None:
    about = {who: ScriptSpeaker(pan=pan, role="host" if who == "HOST" else "") for who, pan in speakers.items()}
    assert seats(script(**about), seated=True) == places


def test_nobody_is_seated_who_was_not_asked_for() -> None:
    assert seats(script(A=ScriptSpeaker(), B=ScriptSpeaker()), seated=False) == {}


def test_equal_voices_of_two_engines_are_two() -> None:
    assert sharing({"A": Voice("x", "one"), "B": Voice("x", "two")}) == {}
