"""The delivery: everything a job leaves, made beside its place, checked, and then put there in one step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from model_worker.engines.registry import Choice
from speechmill.lines import samples
from speechmill.profiles import Profile, profile
from speechmill.reports import (
    Check,
    DubbedLine,
    DubbingReport,
    Outputs,
    Source,
    Stage,
    State,
    Target,
    Work,
    state_of,
)
from speechmill.requests import DubbingRequest
from speechmill.takes import Reason
from storage.artifacts import ArtifactStore
from storage.catalog import JobState
from storage.objects import copy_file
from tasks import checks
from tasks.crews import engine_used
from tasks.disclosing import OF_A_DUB
from tasks.dubs import Dub
from tasks.media import packing, publishing
from tasks.media.naming import Names
from tasks.originals import Original, SourceScript
from tasks.report.page import write_page
from tasks.report.sound import Sound as PageTrack
from tasks.report.sound import page_sound
from tasks.sound.loudness import SILENCE_LUFS
from tasks.text import subtitles
from tasks.text.subtitles import Caption
from tasks.workplace import Workplace

STATES = {State.COMPLETED: JobState.COMPLETED, State.COMPLETED_WITH_REVIEW: JobState.COMPLETED_WITH_REVIEW}


def deliver(
    place: Workplace,
    request: DubbingRequest,
    original: Original,
    script: SourceScript,
    dubs: Sequence[Dub],
    crew: Choice,
    out: Path,
    may_be_published: Callable[[Path], bool] = publishing.unasked,
) -> JobState | None:
    """Write, pack, check and publish; the state that this amounts to, or ``None`` where ``may_be_published`` says no.
    Raises ``NotPublishable`` for a delivery whose files are not what they should be: then what was published before
    stays."""
    place.refuse_out(request.out)
    names = Names.of_dubbing(request)
    chosen = profile(request.profile)
    with publishing.staging(out, place.job) as staging:
        with place.stages("write subtitles"):
            linted = write_subtitles(staging, names, script, dubs, chosen)
        for dub in dubs:
            lay(place.here, staging, names, dub)
        packed = None
        if original.media.picture is not None:
            with place.stages("pack"):
                packed = pack(staging, names, request, original, dubs)
        with place.stages("check"):
            film = (
                checks.check_film(original.media, packed, original.sound.packets, place.here) if packed else []
            )  # one file that holds every language
            targets = {
                dub.language: target(staging, names, packed, film, original, dub, chosen, linted[dub.language])
                for dub in dubs
            }
        with place.stages("report page"):
            heard = page_sound(
                place.here,
                PageTrack(original.sound.digest),
                {dub.language: PageTrack(dub.master.flac.sha256, names.of(dub.language, "m4a")) for dub in dubs},
                original.media.duration_s,
                preview_name=names.preview,
                threads=place.settings.threads,
            )
        report = reported(place, request, original, targets, crew, names)
        (staging / "report.json").write_text(report.to_json(), "utf-8")
        write_page(report, heard, staging / "report.html")
        for name, digest in heard.beside.items():
            copy_file(place.here.path(digest), staging / name)
        if not may_be_published(staging):
            return None
        publishing.publish(staging, out, names.claim(place.source, place.job))
    for language, made in targets.items():
        place.catalog.put_delivery(
            place.job,
            language,
            made.outputs.model_dump(exclude_none=True),
            [check.model_dump() for check in made.checks],
            str(state_of([made])),
        )
    return STATES[report.state]


def write_subtitles(
    staging: Path, names: Names, script: SourceScript, dubs: Sequence[Dub], chosen: Profile
) -> dict[str, tuple[Check, ...]]:
    """The transcript as the original was said, each dub as it is heard; SRT and WebVTT. What the profile's limits say
    of them, by language."""
    captions = [
        Caption(line.id, line.anchor.start_samples, line.anchor.end_samples, line.text, line.speaker, line.words)
        for line in script.lines
        if line.anchor is not None
    ]
    end = max((dub.mix.length_samples for dub in dubs), default=None)
    found = {names.language: _write(staging, names, names.language, captions, chosen, end)}
    for dub in dubs:
        said = [caption for caption in map(_caption, dub.report) if caption is not None]
        found[dub.language] = _write(staging, names, dub.language, said, chosen, end)
    return found


def _caption(line: DubbedLine) -> Caption | None:
    """What is shown of a line: when the dub says it, or, where the original is kept, when that says it."""
    if line.placed_start_s is not None and line.placed_end_s is not None:
        return Caption(line.id, samples(line.placed_start_s), samples(line.placed_end_s), line.text, line.speaker)
    if Reason.KEPT in line.reasons and line.text != line.source_text:
        return Caption(line.id, samples(line.start_s), samples(line.end_s), line.text, line.speaker)
    return None


def _write(
    staging: Path, names: Names, language: str, captions: Sequence[Caption], chosen: Profile, end: int | None
) -> tuple[Check, ...]:
    cues = subtitles.subtitles(captions, chosen.subtitles, language, end)
    subtitles.write_srt(cues, staging / names.of(language, "srt"))
    subtitles.write_vtt(cues, staging / names.of(language, "vtt"), language)
    return subtitles.lint(cues, chosen.subtitles, language)


def lay(store: ArtifactStore, staging: Path, names: Names, dub: Dub) -> None:
    """Put the sound files of a dub into the delivery."""
    sounds = {**dub.master.encoded, "flac": dub.master.flac, "dialogue.wav": dub.master.dialogue}
    for ending, artifact in sounds.items():
        assert artifact is not None  # a dub has its stem
        # A copy, never a link: what a user does with a delivery must not reach the artifact.
        copy_file(store.path(artifact.sha256), staging / names.of(dub.language, ending))


def pack(
    staging: Path, names: Names, request: DubbingRequest, original: Original, dubs: Sequence[Dub]
) -> packing.Packed:
    return packing.pack(
        original.media,
        original.track,
        request.language,
        [packing.Dub(dub.language, staging / names.of(dub.language, "m4a")) for dub in dubs],
        [
            packing.Subtitle(language, staging / names.of(language, "srt"))
            for language in (*(dub.language for dub in dubs), request.language)
        ],
        staging / names.film,
    )


def target(
    staging: Path,
    names: Names,
    packed: packing.Packed | None,
    film: Sequence[Check],
    original: Original,
    dub: Dub,
    chosen: Profile,
    linted: Sequence[Check],
) -> Target:
    """What the report says of one language. Raises ``NotPublishable`` for files that are not what they should be."""
    audio = names.of(dub.language, "m4a")
    layout = dub.mix.layout
    encoded = checks.Encoded(dub.language, staging / audio, layout.channels, layout.name, dub.loudness)
    bed = [] if original.bed_s is None else [checks.check_bed(original.media, original.bed_s)]
    found = [checks.check_speech(dub.report), *checks.check_audio(original.media, encoded, chosen), *bed, *film]
    checks.raise_if_broken(found)
    return Target(
        outputs=Outputs(
            video=packed.path.name if packed else None,
            audio=audio,
            master=names.of(dub.language, "flac"),
            dialogue=names.of(dub.language, "dialogue.wav"),
            srt=names.of(dub.language, "srt"),
            vtt=names.of(dub.language, "vtt"),
        ),
        channels=layout.channels,
        loudness=dub.loudness if dub.loudness.integrated_lufs > SILENCE_LUFS else None,
        profile=chosen.name,
        required_loudness=chosen.loudness,
        checks=(*found, *linted),
        lines=dub.report,
        repairs=dub.repairs,
    )


def reported(
    place: Workplace,
    request: DubbingRequest,
    original: Original,
    targets: dict[str, Target],
    crew: Choice,
    names: Names,
) -> DubbingReport:
    media, tally = original.media, place.store.tally
    picture = media.picture
    track = None if original.track is None else media.audio[original.track]
    return DubbingReport(
        job=place.job,
        state=state_of(targets.values()),
        source=Source.model_validate(
            {
                "name": original.name,
                "duration_s": media.duration_s,
                "language": request.language,
                "sha256": media.sha256,
                "width": picture.width if picture else None,
                "height": picture.height if picture else None,
                "rotation_degrees": (picture.rotation or None) if picture else None,
                "frames_per_s": round(picture.fps, 3) if picture else None,
                "picture_codec": picture.codec if picture else None,
                "audio_track": original.track,
                "sound_codec": track.codec if track else None,
                "sound_rate_hz": track.rate_hz if track else None,
                "layout": original.sound.layout,
            }
        ),
        engine=engine_used(crew),
        targets=targets,
        stages=tuple(Stage(name=r.name, seconds=r.seconds, made=r.made, reused=r.reused) for r in place.stages.records),
        work=Work(
            speak_calls=tally["speak", "made"],
            transcribe_calls=tally["transcribe", "made"],
            translate_calls=tally["translate", "made"],
        ),
        disclosure=OF_A_DUB,
        transcript={"srt": names.of(request.language, "srt"), "vtt": names.of(request.language, "vtt")},
    )
