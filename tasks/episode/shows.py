"""A show: ``show.toml`` says what it is, and a file beside it remembers which episodes it has.

The user's file is only read. What must not be lost (an episode's number, guid and date) is kept in
``<name>.episodes.json`` beside it, under the key of the job that makes the episode, so that a job that runs again
gets back what it had, and two jobs at once never get the same number.
"""

from __future__ import annotations

import difflib
import json
import os
import tomllib
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from speechmill import languages
from speechmill.episodes import SIMPLE
from speechmill.errors import BadInput, UnsupportedLanguage, from_os_error
from speechmill.roots import Roots, opened, path_of, refuse_outside
from tasks.episode.categories import CATEGORIES, is_known
from tasks.episode.channel import FEED, Channel
from tasks.episode.earlier import numbers, published
from tasks.episode.feed import alone

HERE = "http://localhost:8000/"
"""Where `python -m http.server` serves the folder: the base address until the show has one of its own."""
MOST_TOML_BYTES = 1 << 20
MUSIC = ("intro", "bed", "outro")
FILES = ("art", "cast", "lexicon", *MUSIC)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Numbering(_Part):
    """How episodes are counted."""

    first: int = Field(default=1, ge=1, description="number of the first episode that is made here")
    season: int | None = Field(default=None, ge=1)


class Show(_Part):
    """What ``show.toml`` says. Paths are relative to it."""

    title: str = Field(min_length=1, max_length=255)
    description: str = Field(default="", max_length=4_000)
    language: str = "en"
    author: str = Field(default="", max_length=255)
    email: str = ""
    base_url: str = HERE
    link: str = ""
    categories: tuple[str, ...] = ("Education",)
    explicit: bool = False
    type: Literal["episodic", "serial"] = "episodic"
    copyright: str = ""
    art: Path | None = None
    cast: Path | None = None
    lexicon: Path | None = None
    seats: bool = False
    intro: Path | None = None
    bed: Path | None = None
    outro: Path | None = None
    ai_content: bool = True
    feed: str = Field(default=FEED, pattern=r"^[\w.-]+\.xml$")
    guid: uuid.UUID | None = Field(default=None, description="podcast:guid of a show whose feed has moved")
    numbering: Numbering = Numbering()

    @field_validator("language")
    @classmethod
    def _canonical(cls, tag: str) -> str:
        try:
            return languages.canonical(tag)
        except UnsupportedLanguage as error:
            raise ValueError(error.message) from None

    @field_validator("base_url", "link")
    @classmethod
    def _whole_address(cls, url: str) -> str:
        if url and (urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).netloc):
            raise ValueError(f"“{url}” is not a whole address such as https://example.com/show/")
        return url

    @field_validator("categories")
    @classmethod
    def _known(cls, categories: tuple[str, ...]) -> tuple[str, ...]:
        for category in categories:
            if not is_known(category):
                near = difflib.get_close_matches(category, CATEGORIES, n=1) or ["Education"]
                raise ValueError(f"“{category}” is none of Apple's categories, such as {near[0]}")
        return categories

    def channel(self, image_url: str) -> Channel:
        """The show as a feed has it, with the address of its art."""
        return Channel(
            title=self.title,
            description=self.description or self.title,
            language=self.language,
            base_url=self.base_url if self.base_url.endswith("/") else self.base_url + "/",
            image_url=image_url,
            link=self.link,
            author=self.author,
            email=self.email,
            categories=self.categories,
            explicit=self.explicit,
            serial=self.type == "serial",
            copyright=self.copyright,
            ai_content=self.ai_content,
            feed_name=self.feed,
            kept_guid=str(self.guid or ""),
        )


class Entry(_Part):
    """What a show remembers of an episode."""

    number: int = Field(ge=1)
    guid: str = Field(min_length=1)
    published: datetime
    title: str = ""
    season: int | None = None
    source: str = ""  # sha256 of what it was made from


class Memory(_Part):
    """What a show remembers of its episodes, by the key of the job that made each."""

    version: Literal[1] = 1
    show: str = ""
    episodes: dict[str, Entry] = Field(default_factory=dict)


def read_show(path: Path, within: Roots | None = None) -> Show:
    """Read ``show.toml``; paths in it become absolute. Raises ``BadInput`` that names the field, and
    ``ForbiddenSource`` where it, or a file that it names, is not under the roots ``within``."""
    try:
        with path.open("rb") if within is None else opened(path, within) as file:
            data = file.read(MOST_TOML_BYTES + 1)
        if len(data) > MOST_TOML_BYTES:
            raise BadInput(f"{path.name} is too large for a show file", hint="check that it is the right file")
        fields = tomllib.loads(data.decode("utf-8-sig"))
    except OSError as error:
        raise BadInput(f"the show file {path} cannot be read: {error.strerror}", hint="check the path") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"{path.name} is not TOML: {error}", hint="correct the file") from None
    try:
        show = Show.model_validate(fields)
    except ValidationError as error:
        raise BadInput(f"{path.name} is wrong: {_first(error)}", hint=_hint(error)) from None
    found = {what: _file(path, what, given) for what in FILES if (given := getattr(show, what))}
    if within is not None:
        refuse_outside([str(file) for file in found.values() if str(file) != SIMPLE], within)
    return show.model_copy(update=found)


def _file(show: Path, what: str, given: Path) -> Path:
    if what in MUSIC and str(given) == SIMPLE:
        return given
    path = (show.parent / path_of(str(given))).absolute()
    if not path.is_file():
        raise BadInput(f"{show.name} names the {what} {given}, which is not there", hint="correct the path")
    return path


def _first(error: ValidationError) -> str:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"it has a field “{where}” that is not known"
    return f"{where}: {first['msg'].removeprefix('Value error, ')}"


def _hint(error: ValidationError) -> str:
    first = error.errors()[0]
    if first["type"] != "extra_forbidden":
        return "correct the file"
    *above, name = (str(part) for part in first["loc"])
    known = list(Numbering.model_fields if above else Show.model_fields)
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean “{near[0]}”?" if near else f"known are {', '.join(known)}"


def enlist(show_file: Path, show: Show, key: str, title: str, *, now: datetime, source: str = "") -> Entry:
    """The number, guid and date of an episode: what it had before, if the show or its feed knows ``key`` (the job's
    id), or the next number. Numbers that the feed beside the show file has are never given again, even where the
    memory was lost.

    Raises ``BadInput`` for a memory or a feed that cannot be read, which is left as it is.
    """
    path = memory_file(show_file)
    try:
        with alone(path.parent):
            memory = remembered(show_file)
            taken = numbers(path.parent, show.feed)
            used = [entry.number for entry in memory.episodes.values()]
            before = memory.episodes.get(key)
            guid = before.guid if before else episode_guid(show, key)
            number = before.number if before else taken.get(guid)
            date = before.published if before else published(path.parent, guid, show.feed)
            entry = Entry(
                number=number or max(show.numbering.first - 1, *used, *taken.values(), 0) + 1,
                guid=guid,
                published=date or now.astimezone(UTC).replace(microsecond=0),
                title=title,
                season=before.season if before else show.numbering.season,
                source=source,
            )
            if entry != before:
                episodes = {**memory.episodes, key: entry}
                _keep(path, Memory(show=show.title, episodes=episodes))
    except OSError as error:
        raise from_os_error(error) from error
    return entry


def lone_entry(show: Show, key: str, title: str, *, now: datetime, earlier: Path | None = None) -> Entry:
    """For an episode that is no show's, so that nothing remembers it: the guid follows from the key, and the date is
    that of the feed in ``earlier`` where an earlier run has left one."""
    guid = episode_guid(show, key)
    before = published(earlier, guid) if earlier else None
    return Entry(number=1, guid=guid, published=before or now.astimezone(UTC).replace(microsecond=0), title=title)


def memory_file(show_file: Path) -> Path:
    """Where a show keeps what it remembers."""
    return show_file.with_name(f"{show_file.stem}.episodes.json")


def episode_guid(show: Show, key: str) -> str:
    """Of an episode, from the show's guid and the key of the job: the same wherever and whenever it is made again."""
    return str(uuid.uuid5(uuid.UUID(show.channel("").guid), key))


def remembered(show_file: Path) -> Memory:
    """What a show remembers. Raises ``BadInput`` for a file that cannot be read, or is another version's."""
    path = memory_file(show_file)
    if not path.exists():
        return Memory()
    try:
        return Memory.model_validate_json(path.read_bytes())
    except ValidationError as error:
        if any(wrong["loc"] == ("version",) for wrong in error.errors()):
            raise BadInput(
                f"{path.name}, which keeps the numbers of the show's episodes, was written by another version",
                hint="use that version of Speechmill, or take the file away: the feed's numbers are then gone on from",
            ) from None
        raise BadInput(
            f"{path.name}, which keeps the numbers of the show's episodes, is damaged: {_first(error)}",
            hint="put back a copy, or take it away: the feed's numbers are then gone on from",
        ) from None


def _keep(path: Path, memory: Memory) -> None:
    new = path.with_name(f".{path.name}.new")
    with new.open("w", encoding="utf-8") as file:
        json.dump(memory.model_dump(mode="json", exclude_none=True), file, ensure_ascii=False, indent=1)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
