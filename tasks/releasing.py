"""The release of an episode: all that a podcast job leaves, made beside its place, checked, and put there at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from model_worker.engines.registry import Choice
from speechmill.episodes import LineKind, PodcastRequest, ScriptLine
from speechmill.lines import seconds
from speechmill.profiles import Profile, profile
from speechmill.reports import (
    ChapterMark,
    Check,
    Episode,
    EpisodeLine,
    EpisodeReport,
    EpisodeSource,
    Stage,
    State,
    Work,
    state_of_episode,
)
from speechmill.takes import Reason, Verdict, verdict_of
from speechmill.voices import Cast
from storage.catalog import JobState
from storage.objects import copy_file
from tasks import casting, checks
from tasks.crews import engine_used
from tasks.episode import content, membership
from tasks.episode.lint import Severity
from tasks.episode.package import M4A, M4B, Package, show_of, write_package
from tasks.episode.shows import Entry, Show, enlist, lone_entry, read_show
from tasks.episode.sound import write_flac
from tasks.manuscripts import Manuscript
from tasks.media import ffmpeg, publishing
from tasks.media.naming import safe_stem
from tasks.media.shelf import Claim
from tasks.recording import Recording
from tasks.report.episode import write_episode_page
from tasks.report.sound import episode_track
from tasks.scriptwriting.keeping import script_json
from tasks.workplace import Workplace

STATES = {State.COMPLETED: JobState.COMPLETED, State.COMPLETED_WITH_REVIEW: JobState.COMPLETED_WITH_REVIEW}
MP3_FRAMES_S = 2 * 1152 / 48_000  # an MP3 ends with a frame, and begins with the encoder's run-up
CHAPTER_OFF_S = 0.02


@dataclass(frozen=True, slots=True)
class Names:
    """The files of an episode; CONTRACT's names."""

    audio: str = "episode.mp3"
    archive: str = "episode.flac"
    transcript_vtt: str = "transcript.vtt"
    transcript_srt: str = "transcript.srt"
    transcript_json: str = "transcript.json"
    chapters: str = "chapters.json"
    shownotes: str = "shownotes.md"
    script: str = "script.json"
    cover: str = "cover.jpg"
    feed: str = "feed.xml"


NAMES = Names()
MP4_NAMES = {"m4a": M4A, "m4b": M4B}


def release(
    place: Workplace,
    request: PodcastRequest,
    manuscript: Manuscript,
    recorded: Recording,
    cast: Cast,
    crew: Choice,
    out: Path,
    may_be_published: Callable[[Path], bool] = publishing.unasked,
) -> JobState | None:
    """Encode, tag, write, check and publish; the state that this amounts to, or ``None`` where ``may_be_published``
    says no."""
    chosen = profile(request.profile)
    place.refuse_out(request.out)
    if request.show:
        place.refuse_outside(Path(request.show))  # whose folder is written to
    now = datetime.now(UTC)
    show = shown(place, request, recorded)
    entry = entered(request, show, manuscript, place.job, out, now)
    made = episode_of(recorded, show if request.show else None, entry if request.show else None)
    with publishing.staging(out, place.job) as staging:
        with place.stages("package"):
            encoded = place.here.path(recorded.mp3)
            packed = write_package(
                staging,
                made,
                encoded,
                show,
                entry,
                now=now,
                earlier=out if out.exists() else None,
                below=membership.below(Path(request.show), out) if request.show else "",
                mp4=place.here.path(recorded.master.encoded["m4a"].sha256) if request.mp4 else None,
                mp4_name=MP4_NAMES[request.mp4 or "m4a"],
            )
            write_flac(place.here.path(recorded.master.flac.sha256), made, staging / NAMES.archive)
            for speaker, name in stem_names(recorded).items():
                copy_file(place.here.path(recorded.stems[speaker]), staging / name)
            (staging / NAMES.script).write_text(script_json(recorded.script, manuscript.lexicon), "utf-8")
        found = [
            *check(staging, made, recorded, chosen),
            casting.check_apart(cast),
            *linted(packed, of_show=bool(request.show)),
        ]
        checks.raise_if_broken(found)
        report = reported(place, manuscript, recorded, cast, crew, chosen, found, packed)
        with place.stages("report page"):
            track = episode_track(
                place.here,
                recorded.master.flac.sha256,
                made.duration_s,
                file_name=NAMES.audio,
                threads=place.settings.threads,
            )
        report = report.model_copy(update={"stages": stage_rows(place)})
        (staging / "report.json").write_text(report.to_json(), "utf-8")
        write_episode_page(report, track, staging / "report.html")
        if not may_be_published(staging):
            return None
        publishing.publish(staging, out, claim_of(place.source, place.job))
    if request.show:
        place.refuse_outside(Path(request.show))  # whose folder is written to
        feed = membership.join(Path(request.show), packed, out, now=now)
        place.stages.progress.say(f"the show's feed {feed} has episode {entry.number}")
        if (there := membership.gap(Path(request.show), out)) is not None:
            place.stages.progress.say(f"copy {out} to {there}: the feed leads there, and nothing is there yet")
    place.catalog.put_delivery(
        place.job, manuscript.script.language, report.episode.outputs, [c.model_dump() for c in found], report.state
    )
    return STATES[report.state]


def claim_of(source: str, job: str = "") -> Claim:
    """What the delivery of an episode is of. A feed that is there is gone on from."""
    return Claim(job, source, grown=frozenset({NAMES.feed}))


def shown(place: Workplace, request: PodcastRequest, recorded: Recording) -> Show:
    """The show that the episode belongs to, or the one that it makes up alone."""
    if request.show:
        show = read_show(Path(request.show), place.within)
        return show.model_copy(update={"art": place.taken(show.art)}) if show.art else show
    return show_of(episode_of(recorded, None, None))


def entered(request: PodcastRequest, show: Show, manuscript: Manuscript, job: str, out: Path, now: datetime) -> Entry:
    """The episode's number, guid and date: the same each time the job is run."""
    title = manuscript.script.title
    if request.show:
        return enlist(Path(request.show), show, job, title, now=now, source=manuscript.sha256)
    return lone_entry(show, job, title, now=now, earlier=out)


def episode_of(recorded: Recording, show: Show | None, entry: Entry | None) -> content.Episode:
    """The episode as the package writes it down, every time from sample counts."""
    script, clips = recorded.script, recorded.conversation.clips
    said = [
        content.Said(
            line.id,
            script.name_of(line.speaker),
            line.text,
            clips[line.id].start_samples,
            clips[line.id].end_samples,
            links=tuple(content.Mention(link.text, link.address) for link in line.links),
        )
        for line in script.lines
        if line.id in clips
    ]
    return content.Episode(
        title=script.title,
        language=script.language,
        length_samples=recorded.conversation.timeline.length_samples,
        lines=tuple(said),
        chapters=tuple(content.Chapter(title, start) for start, title in recorded.conversation.chapters),
        description=script.description,
        link=script.source if script.source.startswith("https://") else "",
        sources=tuple(content.Mention(link.text, link.address) for link in script.sources),
        show=show.title if show else "",
        author=(show.author if show else "") or script.author,
        number=entry.number if entry else None,
        season=entry.season if entry else None,
        date=f"{entry.published:%Y-%m-%d}" if entry else "",
    )


def check(staging: Path, made: content.Episode, recorded: Recording, chosen: Profile) -> list[Check]:
    """The episode as it lies there, opened again: what it is, how long, how loud, its chapters and its feed."""
    found = ffmpeg.probe(staging / NAMES.audio)
    stream = next(s for s in found["streams"] if s["codec_type"] == "audio")
    length_s = float(found["format"]["duration"])
    marks = [float(chapter["start_time"]) for chapter in found["chapters"]]
    wanted = [seconds(span.start_samples) for span in made.spans]
    off_s = max((abs(a - b) for a, b in zip(marks, wanted, strict=False)), default=0.0)
    layout = recorded.mix.layout
    encoded = checks.Encoded(made.language, staging / NAMES.audio, layout.channels, layout.name, recorded.loudness)
    return [
        Check(id="audio-codec", passed=stream["codec_name"] == "mp3", measured=stream["codec_name"], required="mp3",
              about="Codec of the episode"),
        Check(id="audio-length", passed=abs(length_s - made.duration_s) <= MP3_FRAMES_S, measured=round(length_s, 3),
              required=f"{made.duration_s:.3f} ± {MP3_FRAMES_S:.3f} s", about="Length of the episode"),
        Check(id="chapters", passed=len(marks) == len(wanted) and off_s <= CHAPTER_OFF_S, measured=round(off_s, 4),
              required=f"≤ {CHAPTER_OFF_S} s", about="How far a chapter mark is from the first sample of its section"),
        *checks.check_loudness(encoded, chosen),
    ]  # fmt: skip


def linted(packed: Package, *, of_show: bool) -> list[Check]:
    """What is wrong with the feed, as one check; what is only advisable is advice, to a show. (The feed of an episode
    alone is for nobody's podcast app.)"""
    errors = [f for f in packed.findings if f.severity is Severity.ERROR]
    advice = [f for f in packed.findings if f.severity is not Severity.ERROR]
    found = [
        Check(
            id="feed",
            passed=not errors,
            measured=", ".join(sorted({f.rule for f in errors})) or "no errors",
            required="no errors",
            about="Rules of podcast feeds that the feed breaks",
        )
    ]
    if of_show and advice:
        about = " ".join(dict.fromkeys(f.message for f in advice))
        rules = ", ".join(sorted({f.rule for f in advice}))
        found.append(
            Check(id="feed-advice", passed=False, measured=rules, required="no warnings", about=about, advisory=True)
        )
    return found


def reported(
    place: Workplace,
    manuscript: Manuscript,
    recorded: Recording,
    cast: Cast,
    crew: Choice,
    chosen: Profile,
    found: list[Check],
    packed: Package,
) -> EpisodeReport:
    """``report.json`` of the episode."""
    script, talk, tally = recorded.script, recorded.conversation, place.store.tally
    assert crew.speaks is not None
    engine = crew.speaks
    lines = tuple(_line(recorded, line, cast[line.speaker].name, engine.name) for line in script.lines)
    spoken_s = sum(seconds(count) for count in talk.speaking.values())
    words = sum(len(line.said.split()) for line in script.lines if line.id in talk.clips)
    episode = Episode(
        outputs=outputs_of(packed, recorded),
        duration_s=round(seconds(talk.timeline.length_samples), 3),
        channels=recorded.mix.layout.channels,
        loudness=recorded.loudness,
        profile=chosen.name,
        required_loudness=chosen.loudness,
        checks=tuple(found),
        chapters=tuple(ChapterMark(start_s=round(seconds(start), 3), title=title) for start, title in talk.chapters),
        lines=lines,
        cast=recorded.cast,
        disclosure=" ".join(line.text for line in script.lines if line.kind is LineKind.DISCLOSURE),
        names={speaker: script.name_of(speaker) for speaker in script.speakers},
        speaking={speaker: round(seconds(count), 2) for speaker, count in talk.speaking.items()},
        words_per_minute=round(words / spoken_s * 60, 1) if spoken_s else None,
    )
    return EpisodeReport(
        job=place.job,
        state=state_of_episode(episode, script.writing),
        source=EpisodeSource(
            name=manuscript.name, sha256=manuscript.sha256, title=script.title, language=script.language
        ),
        engine=engine_used(crew),
        episode=episode,
        writing=script.writing,
        work=Work(speak_calls=tally["speak", "made"]),
    )


def outputs_of(packed: Package, recorded: Recording) -> dict[str, str]:
    """The files of the episode by what they are."""
    names = {name: str(getattr(NAMES, name)) for name in NAMES.__dataclass_fields__}
    mp4 = next((name for name in packed.files if name in MP4_NAMES.values()), "")
    stems = {f"stem {speaker}": name for speaker, name in stem_names(recorded).items()}
    return names | ({"mp4": mp4} if mp4 else {}) | stems


def stem_names(recorded: Recording) -> dict[str, str]:
    """The file of each speaker alone; numbered, since two ids may be the same once they are safe for a file system."""
    safe = {speaker: safe_stem(Path(f"{speaker}.flac")) for speaker in recorded.stems}
    return {speaker: f"stem.{number}.{name}.flac" for number, (speaker, name) in enumerate(safe.items(), 1)}


def _line(recorded: Recording, line: ScriptLine, voice: str, engine: str) -> EpisodeLine:
    tried, clip = recorded.takes.get(line.id, ()), recorded.conversation.clips.get(line.id)
    take = tried[0] if tried else None
    doubted = any(line.id == unsupported.line_id for unsupported in recorded.script.writing.unsupported)
    reasons = (*(take.reasons if take else ()), *([Reason.UNSUPPORTED] if doubted else []))
    return EpisodeLine(
        id=line.id,
        speaker=line.speaker,
        text=line.text,
        spoken=line.spoken,
        placed_start_s=round(seconds(clip.start_samples), 6) if clip else None,
        placed_end_s=round(seconds(clip.end_samples), 6) if clip else None,
        verdict=verdict_of(reasons) if take and clip else Verdict.FAILED,
        reasons=reasons,
        takes=len(tried),
        voice=voice,
        engine=engine,
        error_rate=take.measured.error_rate if take and take.measured else None,
        loudness_lufs=take.measured.loudness_lufs if take and take.measured else None,
        production=recorded.productions.get(line.id),
    )


def stage_rows(place: Workplace) -> tuple[Stage, ...]:
    return tuple(Stage(name=r.name, seconds=r.seconds, made=r.made, reused=r.reused) for r in place.stages.records)
