"""Casting: a voice for every speaker, none of them silently the same."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import soundfile

from model_worker.engines.registry import Choice
from speechmill.abilities import Imitates, NamesVoices, ShiftsPitch, Speaks
from speechmill.episodes import EpisodeScript, ScriptSpeaker
from speechmill.errors import BadInput, UnreadableMedia
from speechmill.recipes import Recipe, digest_of_file
from speechmill.reports import CastMember, Check
from speechmill.voices import Cast, Consent, Speaker, Voice
from storage.objects import copy_file
from tasks.disclosing import host
from tasks.workplace import Workplace

LEAST_REFERENCE_S = 1.0
WIDE_OF_TWO, WIDE = 0.35, 0.5  # as at a table; further out a voice is tiring in headphones


def cast(
    place: Workplace,
    speakers: Sequence[Speaker],
    language: str,
    crew: Choice,
    members: Mapping[str, ScriptSpeaker] | None = None,
) -> Cast:
    """Choose a voice for each speaker, and keep the cast in the catalog.

    Voices that ``members`` name are given out first, so that those the engine chooses are not like them. Raises
    ``BadInput`` for a voice that the engine does not have, and for what it cannot do with one.
    """
    given = {
        speaker: member.model_copy(update={"reference": str(place.taken(Path(member.reference)))})
        if member.reference
        else member
        for speaker, member in (members or {}).items()
    }
    voices = foresee(speakers, language, crew, given)
    chosen = {
        speaker: _recorded(place, voice, Path(given[speaker].reference))
        if speaker in given and given[speaker].reference
        else voice
        for speaker, voice in voices.items()
    }
    place.catalog.put_cast(place.job, language, chosen)
    return chosen


def foresee(speakers: Sequence[Speaker], language: str, crew: Choice, members: Mapping[str, ScriptSpeaker]) -> Cast:
    """The voice of each speaker, without the recordings that some are to sound like: nothing is made, and all is
    refused that ``cast`` refuses."""
    assert crew.speaks is not None
    speaks = crew.speaks.speaks
    assert speaks is not None
    wanted = {speaker.id: members.get(speaker.id, ScriptSpeaker()) for speaker in speakers}
    chosen: dict[str, Voice] = {}
    for speaker in sorted(speakers, key=lambda speaker: not (wanted[speaker.id].voice)):
        member = wanted[speaker.id]
        voice = (
            _named(speaks, crew.speaks.name, speaker.id, member.voice)
            if member.voice
            else speaks.voice(speaker, language, list(chosen.values()))
        )
        voice = _pitched(voice, speaks, speaker.id, member)
        chosen[speaker.id] = replace(voice, consent=_leave(voice, speaks, speaker.id, member))
    return {speaker.id: chosen[speaker.id] for speaker in speakers}


def speakers_of(script: EpisodeScript) -> list[Speaker]:
    """Those who speak in an episode. Nothing was measured of them: the engine keeps them apart by ear."""
    return [Speaker(speaker) for speaker in script.speakers]


def _named(speaks: Speaks, engine: str, speaker: str, name: str) -> Voice:
    if not isinstance(speaks, NamesVoices):
        raise BadInput(
            f"the engine {engine} has no voices to choose from, and the cast gives {speaker} the voice “{name}”",
            hint="leave `voice` out of the cast, or use another --engine",
        )
    if name not in speaks.voice_names:
        near = difflib.get_close_matches(name, speaks.voice_names, 1)
        raise BadInput(
            f"the engine {engine} has no voice “{name}”, which the cast gives {speaker}",
            hint=f"did you mean “{near[0]}”?" if near else f"it has {', '.join(speaks.voice_names)}",
        )
    return speaks.named(name)


def _pitched(voice: Voice, speaks: Speaks, speaker: str, member: ScriptSpeaker) -> Voice:
    if not member.pitch:
        return voice
    if not isinstance(speaks, ShiftsPitch):
        raise BadInput(
            f"the engine {voice.engine} cannot move the pitch of a voice, and the cast asks it to for {speaker}",
            hint="leave `pitch` out of the cast, or use another --engine",
        )
    return speaks.pitched(voice, member.pitch)


def _leave(voice: Voice, speaks: Speaks, speaker: str, member: ScriptSpeaker) -> Consent | None:
    """The leave that a voice may be heard by; refuses a recording that cannot, or may not, be imitated."""
    given = member.consent
    consent = None
    if given is not None:
        until = given.until.isoformat() if given.until else None
        consent = Consent(given.who, given.scope, until, when=given.when.isoformat())
    if not member.reference:
        return consent
    path = Path(member.reference)
    if not isinstance(speaks, Imitates):
        raise BadInput(
            f"the engine {voice.engine} imitates no recorded voice, and the cast gives {speaker} {path.name}",
            hint="leave `reference` out of the cast, or use --engine mimo",
        )
    if consent is None:
        raise BadInput(
            f"the cast gives {speaker} a recorded voice without anybody's consent",
            hint='write consent = {who = "…", when = 2026-05-01, scope = "…"}',
        )
    if given and given.until and given.until < datetime.now(UTC).date():
        raise BadInput(
            f"the consent of {given.who} to the voice of {speaker} ended on {given.until}",
            hint="ask again, or leave `reference` out of the cast",
        )
    try:
        length_s = soundfile.info(path).duration
    except (soundfile.LibsndfileError, OSError):
        raise UnreadableMedia(f"the recorded voice {path} cannot be read", hint="give a WAV or FLAC file") from None
    if length_s < LEAST_REFERENCE_S:
        raise UnreadableMedia(f"the recorded voice {path.name} has {length_s:.1f} s", hint="give at least 10 s")
    return consent


def _recorded(place: Workplace, voice: Voice, path: Path) -> Voice:
    """The voice with the recording it is to sound like, kept in the store, where workers elsewhere find it."""
    recipe = Recipe("reference", "1", inputs=[digest_of_file(path)])
    kept = place.store.get_or_make(recipe, lambda out: copy_file(path, out), path.suffix)
    return replace(voice, name=f"{voice.name} as {path.stem}", reference=kept.sha256)


def seats(script: EpisodeScript, seated: bool) -> dict[str, float]:
    """Where each speaker sits, −1 to 1: where the cast says, and if they are to be seated, from left to right. Of an
    odd number the host has the middle."""
    given = {speaker: about.pan for speaker, about in script.speakers.items() if about.pan is not None}
    if not seated:
        return given
    heard = dict.fromkeys(line.speaker for line in script.lines)
    free = [speaker for speaker in heard if speaker not in given]
    leader = host(script)
    if len(free) % 2 and leader in free:
        free.remove(leader)
        free.insert(len(free) // 2, leader)
    wide = WIDE if len(free) > 2 else WIDE_OF_TWO
    places = [round(wide * (2 * at / (len(free) - 1) - 1), 3) if len(free) > 1 else 0.0 for at in range(len(free))]
    return {**dict(zip(free, places, strict=True)), **given}


def sharing(cast: Cast) -> dict[str, tuple[str, ...]]:
    """Speakers who cannot be told apart, by speaker."""
    heard: dict[tuple[str, str, str], list[str]] = {}
    for speaker, voice in cast.items():
        sound = (voice.engine, repr(sorted(voice.settings.items())), voice.reference or "")
        heard.setdefault(sound, []).append(speaker)
    groups = [group for group in heard.values() if len(group) > 1]
    return {one: tuple(other for other in group if other != one) for group in groups for one in group}


def check_apart(cast: Cast) -> Check:
    """Whether every speaker has a voice of their own; where not, it is for a person to say that this is meant."""
    shared = sharing(cast)
    return Check(
        id="voices",
        passed=not shared,
        measured=f"shared by {', '.join(shared)}" if shared else "one for each",
        required="one for each",
        about="Voices that tell the speakers apart",
    )


def reported(
    script: EpisodeScript, cast: Cast, gains_db: Mapping[str, float], pans: Mapping[str, float]
) -> tuple[CastMember, ...]:
    """The cast as the report has it."""
    shared = sharing(cast)
    return tuple(
        CastMember(
            speaker=speaker,
            name=script.name_of(speaker),
            voice=voice.name,
            engine=voice.engine,
            chosen="cast" if script.speakers[speaker].voice else "engine",
            settings={name: given for name, given in voice.settings.items() if isinstance(given, str | int | float)},
            pitch=script.speakers[speaker].pitch,
            rate=script.speakers[speaker].rate,
            pan=pans.get(speaker, 0.0),
            gain_db=gains_db.get(speaker, 0.0),
            reference=voice.reference,
            consent=_told(voice.consent),
            shared_with=shared.get(speaker, ()),
        )
        for speaker, voice in cast.items()
    )


def _told(consent: Consent | None) -> dict[str, str] | None:
    if consent is None:
        return None
    facts = {"who": consent.who, "when": consent.when, "scope": consent.purpose, "until": consent.until}
    return {name: fact for name, fact in facts.items() if fact}
