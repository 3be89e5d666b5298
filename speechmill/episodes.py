"""Episodes: what a user asks of the podcast line, and the script that every episode is made from.

``script.json`` is the script as it is kept and edited: what a document was made into, and just as good a source as a
document. ``Writing`` tells how a script came to be; it goes into the report, not into ``script.json``.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from enum import StrEnum
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from speechmill import languages
from speechmill.abilities import Ability
from speechmill.repairs import Repair

MOST_MINUTES = 24 * 60
DIGEST_MINUTES = 60.0  # a longer one is rarely heard to its end in a day
MOST_SPEAKERS = 20
MOST_LINES = 20_000  # a day of speech, a line every four seconds
MOST_LINKS = 200  # of one line, or of the document's notes
MOST_CHARACTERS = 1_200  # of one line: about 80 s of speech; MiMo-Audio decodes in windows of 60 s
MOST_GAP_MS = 120_000
DISCLOSURE = "disclosure"  # id of the line that says that the voices are made
SIMPLE = "simple"  # instead of a music file: one that is made on the spot


class Format(StrEnum):
    """What an episode is like."""

    READING = "reading"  # one or two voices read the text; sections become chapters
    DIALOGUE = "dialogue"  # host and guest
    TALKSHOW = "talkshow"  # a host and several guests
    DEBATE = "debate"  # two sides and a moderator
    LIVE = "live"  # commentary and call-ins
    LESSON = "lesson"  # phrases slow, normal, with time to repeat


class LineKind(StrEnum):
    """How a line comes into the conversation."""

    SPEECH = "speech"
    BACKCHANNEL = "backchannel"  # “mm-hm”, under the one who speaks; takes no turn
    INTERRUPTION = "interruption"  # the one who speaks stops because of it
    DISCLOSURE = "disclosure"  # says that the voices are made; the programme's line, not the script's


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Span(_Part):
    """Characters ``start:end`` of the text of the document (``Document.text``)."""

    start: int = Field(ge=0)
    end: int = Field(ge=0)


class WebLink(_Part):
    """Where something of the document can be read further."""

    text: str = Field(max_length=500)
    address: str = Field(pattern=r"^https?://", max_length=2_000)


class Permission(_Part):
    """Who allowed a voice to be imitated, when, and for what."""

    who: str = Field(min_length=1, max_length=200)
    when: date
    scope: str = Field(min_length=1, max_length=500)
    until: date | None = None


class ScriptSpeaker(_Part):
    """Somebody who speaks in an episode, and how: what is not said here the engine chooses."""

    name: str = ""  # as it is shown; empty: the speaker's id
    role: str = ""  # host, guest, moderator, …
    side: str = ""  # in a debate: what the speaker argues for
    voice: str = ""  # one that the engine has, by its name
    pitch: float = Field(default=0.0, ge=-12.0, le=12.0)  # semitones above the voice's own
    rate: float = Field(default=1.0, ge=0.5, le=2.0)  # 1.1 asks for speech a tenth faster than the voice's own
    pan: float | None = Field(default=None, ge=-1.0, le=1.0)  # −1 is left, 0 the middle, 1 right
    reference: str = ""  # a recording of the voice, for an engine that imitates one; needs consent
    consent: Permission | None = None


class ScriptLine(_Part):
    """Something to be said in an episode."""

    id: str = Field(min_length=1, max_length=64)
    speaker: str = Field(min_length=1, max_length=64)
    text: str = Field(min_length=1, max_length=MOST_CHARACTERS)  # as it is shown
    spoken: str = ""  # as it is said, where that differs from the text
    style: str = Field(default="", max_length=200)
    pace: float = Field(default=1.0, ge=0.5, le=2.0)  # 0.75 asks for speech at three quarters of the voice's own speed
    gap_ms: int | None = Field(default=None, ge=-MOST_GAP_MS, le=MOST_GAP_MS)
    """Silence between the end of the line before and this one; negative: they overlap; None: by the reason there is."""
    chapter: str = Field(default="", max_length=200)
    """Title of the chapter this line is in. A title other than that of the line before begins a chapter; a line
    without one stays in the chapter it finds."""
    kind: LineKind = LineKind.SPEECH
    language: str = ""  # BCP-47; empty: the script's
    span: Span | None = None  # what of the document it comes from
    links: tuple[WebLink, ...] = Field(default=(), max_length=MOST_LINKS)  # in what is shown

    @property
    def said(self) -> str:
        return self.spoken or self.text

    @field_validator("language")
    @classmethod
    def _canonical(cls, tag: str) -> str:
        return languages.canonical(tag) if tag else ""


class Chapter(_Part):
    """A title, and the line it begins with."""

    title: str
    line_id: str


class LeftOut(_Part):
    """A part of the document that is not read aloud."""

    what: str  # its kind: table, code, note, body, …
    why: str  # a sentence
    text: str  # its beginning
    place: str  # for people: “page 3”, “line 12”
    span: Span | None = None  # where the document's text has it


class Unsupported(_Part):
    """A line that the document does not bear out; a person should look."""

    line_id: str
    why: str  # a sentence


class Writing(_Part):
    """How a script came to be."""

    format: Format | None = None  # None: a person wrote it
    writer: str = ""  # “rules”, or the language model
    minutes_asked: float | None = None
    minutes: float = 0.0  # as estimated, with gaps
    words: int = 0
    share: dict[str, float] = Field(default_factory=dict)  # of the words, by speaker
    repairs: tuple[Repair, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    unsupported: tuple[Unsupported, ...] = ()
    notes: tuple[str, ...] = ()  # sentences: “The text gives about 3 minutes, not 10.”
    calls: int = 0  # of the language model
    tokens: int = 0  # as the endpoint counts them; 0 where it does not


class EpisodeScript(_Part):
    """Who says what in an episode, in order."""

    title: str = Field(min_length=1, max_length=300)
    language: str
    speakers: dict[str, ScriptSpeaker] = Field(min_length=1, max_length=MOST_SPEAKERS)
    lines: tuple[ScriptLine, ...] = Field(min_length=1, max_length=MOST_LINES)
    description: str = Field(default="", max_length=4_000)
    author: str = Field(default="", max_length=255)  # of the document
    source: str = ""  # address or name of the document
    sources: tuple[WebLink, ...] = Field(default=(), max_length=MOST_LINKS)  # that notes and lists of it name
    writing: Writing = Writing()

    @field_validator("language")
    @classmethod
    def _canonical(cls, tag: str) -> str:
        return languages.canonical(tag)

    @model_validator(mode="after")
    def _whole(self) -> EpisodeScript:
        unknown = sorted({line.speaker for line in self.lines} - self.speakers.keys())
        if unknown:
            raise ValueError(f"unknown speaker “{unknown[0]}”")
        if len({line.id for line in self.lines}) < len(self.lines):
            raise ValueError("two lines have the same id")
        return self

    def chapters(self) -> tuple[Chapter, ...]:
        """Chapters in order; empty where no line names one."""
        return tuple(self._chapters())

    def _chapters(self) -> Iterator[Chapter]:
        title = ""
        for line in self.lines:
            if line.chapter and line.chapter != title:
                title = line.chapter
                yield Chapter(title=title, line_id=line.id)

    def name_of(self, speaker: str) -> str:
        """A speaker's name as it is shown."""
        return self.speakers[speaker].name or speaker

    def to_json(self) -> str:
        """As ``script.json``: what differs from the defaults, UTF-8, a newline at the end. What is left for a person to
        edit is ``tasks.scriptwriting.keeping.script_json``, without the spoken forms that follow from the texts."""
        return self.model_dump_json(indent=1, exclude={"writing"}, exclude_defaults=True) + "\n"


class Collected(_Part):
    """Documents of one folder that are heard in one episode, as they were when they were chosen."""

    title: str = Field(min_length=1, max_length=300)
    documents: dict[str, str] = Field(min_length=1, max_length=1_000)  # name in the folder: SHA-256
    order: tuple[str, ...]  # a database may keep the names of an object in an order of its own

    @model_validator(mode="after")
    def _names_of_the_folder(self) -> Self:
        if set(self.order) != set(self.documents) or len(self.order) != len(self.documents):
            raise ValueError("order does not have each document once")
        for name in self.order:
            if name in ("", ".", "..") or "/" in name or "\0" in name:
                raise ValueError(f"“{name[:80]}” is no name of a file in a folder")
        return self


class PodcastRequest(BaseModel):
    """Make an episode from a document, an address or a script."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str = Field(title="Source", description="Path or address of a document, or a script.json", min_length=1)
    collected: Collected | None = Field(
        default=None,
        exclude_if=lambda value: value is None,
        title="Collected",
        description="Where the source is a folder: the documents in it that the episode is of",
    )
    format: Format = Field(default=Format.READING, title="Format", description="What the episode is like")
    language: str | None = Field(
        default=None, title="Language", description="Language of the document, where it does not say; BCP-47"
    )
    cast: str | None = Field(default=None, title="Cast", description="TOML: who speaks with which voice")
    show: str | None = Field(default=None, title="Show", description="TOML: the show the episode belongs to")
    minutes: float | None = Field(
        default=None, gt=0, le=MOST_MINUTES, title="Minutes", description="Length that the episode is to have"
    )
    lexicon: str | None = Field(
        default=None, title="Lexicon", description="CSV: term, how it is said and, if only there, in which language"
    )
    seats: bool = Field(default=False, title="Seats", description="Seat the speakers from left to right, in stereo")
    intro: str | None = Field(
        default=None,
        title="Intro",
        description="Music before the first word: a sound file, or “simple” for one made here",
    )
    bed: str | None = Field(
        default=None, title="Bed", description="Music under the speech: a sound file, or “simple” for one made here"
    )
    outro: str | None = Field(
        default=None,
        title="Outro",
        description="Music after the last word: a sound file, or “simple” for one made here",
    )
    disclosure: Literal["first", "last", "off"] = Field(
        default="first", title="Disclosure", description="Where the episode says that its voices are made"
    )
    mp4: Literal["m4a", "m4b"] | None = Field(
        default=None, title="MP4", description="AAC with chapters as well: an M4A, or an audiobook"
    )
    stems: bool = Field(
        default=False, title="Stems", description="Leave every speaker alone as well, as they sound in the episode"
    )
    engines: dict[Ability, str] = Field(
        default_factory=dict,
        title="Engines",
        description="Engine for each ability; the default is the settings' engine",
    )
    profile: str = Field(default="podcast", title="Profile", description="What the delivery must measure")
    approve: tuple[Literal["script", "final"], ...] = Field(
        default=(), title="Approve", description="What a person is to approve before the job goes on"
    )
    again: bool = Field(
        default=False,
        exclude_if=lambda value: not value,
        title="Again",
        description="Make another episode of a document that the show has one of already",
    )
    out: str | None = Field(default=None, title="Out", description="Folder, or s3://bucket/folder, for the results")

    @field_validator("language")
    @classmethod
    def _canonical_language(cls, tag: str | None) -> str | None:
        return languages.canonical(tag) if tag else None
