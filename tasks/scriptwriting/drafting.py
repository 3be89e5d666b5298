"""From drafts to a script: ids, spoken forms, chapters, and the account of how it was written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from speechmill.episodes import (
    MOST_LINKS,
    EpisodeScript,
    Format,
    LeftOut,
    ScriptLine,
    ScriptSpeaker,
    Unsupported,
    WebLink,
    Writing,
)
from speechmill.reports import Repair
from tasks.documents.blocks import Block, Document, Link, excerpt
from tasks.scriptwriting.length import TOLERANCE, Draft, Part, episode_s, words
from tasks.text.spoken import directions, spoken_form

TITLE_CHARACTERS = 300
AUTHOR_CHARACTERS = 255
DESCRIPTION_CHARACTERS = 4_000
MOST_ADDRESS_CHARACTERS = 2_000


def line_id(number: int, of: int) -> str:
    """``0001`` …, wide enough that ids sort as lines do."""
    return f"{number:0{max(4, len(str(of)))}}"


def script(
    document: Document,
    drafts: Sequence[Draft],
    speakers: Mapping[str, ScriptSpeaker],
    writing: Writing,
    *,
    characters_per_s: float,
    unsupported: Mapping[int, str] | None = None,
    repairs: Mapping[int, str] | None = None,
) -> EpisodeScript:
    """The script of these drafts. ``unsupported`` and ``repairs`` are sentences by the number of their draft."""
    lines = [_line(line_id(number, len(drafts)), draft) for number, draft in enumerate(drafts, 1)]
    said = [words(draft.text, document.language) for draft in drafts]
    minutes = round(episode_s(drafts, characters_per_s) / 60, 2)
    by_speaker = {
        name: sum(n for n, draft in zip(said, drafts, strict=True) if draft.speaker == name) for name in speakers
    }
    found = writing.model_copy(
        update={
            "minutes": minutes,
            "words": sum(said),
            "share": {name: round(n / max(1, sum(said)), 3) for name, n in by_speaker.items()},
            "notes": (*document.notes, *writing.notes, *_length_notes(writing, minutes)),
            "repairs": (
                *writing.repairs,
                *_not_said(lines, document.language),
                *(Repair(line_id=lines[at].id, what=what) for at, what in (repairs or {}).items()),
            ),
            "unsupported": tuple(Unsupported(line_id=lines[at].id, why=why) for at, why in (unsupported or {}).items()),
        }
    )
    heard = {draft.speaker for draft in drafts}
    return EpisodeScript(
        title=excerpt(document.title, TITLE_CHARACTERS),
        language=document.language,
        speakers={name: who for name, who in speakers.items() if name in heard},
        lines=tuple(lines),
        description=excerpt(document.metadata.get("description", ""), DESCRIPTION_CHARACTERS),
        author=excerpt(document.metadata.get("author", ""), AUTHOR_CHARACTERS),
        source=document.metadata.get("address", document.name),
        sources=_web(link for block in document.blocks if not block.read_aloud for link in _named(block)),
        writing=found,
    )


def in_spoken_form(drafts: Iterable[Draft], language: str, lexicon: Mapping[str, str] | None) -> Iterator[Draft]:
    """Drafts with what is said, where that is not what is shown; without those of which nothing is (“[music]”)."""
    for draft in drafts:
        said = spoken_form(draft.text, language, lexicon)
        if said:
            yield draft if said == draft.text else replace(draft, spoken=said)


def unsaid(written: Sequence[Part], said: Sequence[Part]) -> Iterator[LeftOut]:
    """Drafts of which nothing is said: what people do, numbers of citations."""
    for before, after in zip(written, said, strict=True):
        heard = {draft.text for draft in after.drafts}
        for draft in before.drafts:
            if draft.text not in heard:
                why = "It says what people do, not what they say."
                yield LeftOut(what="direction", why=why, text=excerpt(draft.text), place=draft.place, span=draft.span)


def not_said(directions: Sequence[str]) -> str:
    """A sentence about what of a line is not said."""
    what = " and ".join(f"“{direction}”" for direction in directions)
    return f"{what} {'is' if len(directions) == 1 else 'are'} not said."


def _not_said(lines: Iterable[ScriptLine], language: str) -> Iterator[Repair]:
    for line in lines:
        found = directions(line.text, language) if line.spoken else ()
        if found:
            yield Repair(line_id=line.id, what=not_said(found))


def _line(id: str, draft: Draft) -> ScriptLine:
    return ScriptLine(
        id=id,
        speaker=draft.speaker,
        text=draft.text,
        spoken=draft.spoken,
        style=draft.style,
        pace=draft.pace,
        gap_ms=draft.gap_ms,
        chapter=draft.chapter,
        kind=draft.kind,
        span=draft.span,
        links=_web(draft.links),
    )


def _named(block: Block) -> Iterator[Link]:
    """What a note or an entry of a list of sources leads to, by its text."""
    for link in block.links:
        yield Link(block.text.replace(link.address, "").strip(" .,;:") or link.text, link.address)


def _web(links: Iterable[Link]) -> tuple[WebLink, ...]:
    """Links as a script has them, each address once."""
    found = {
        link.address: WebLink(text=excerpt(link.text, 200), address=link.address) for link in links if _whole(link)
    }
    return tuple(found.values())[:MOST_LINKS]


def _whole(link: Link) -> bool:
    return link.address.startswith(("http://", "https://")) and len(link.address) <= MOST_ADDRESS_CHARACTERS


def _length_notes(writing: Writing, minutes: float) -> tuple[str, ...]:
    asked = writing.minutes_asked
    if asked is None or abs(minutes - asked) <= TOLERANCE * asked:
        return ()
    if (
        minutes < asked
        and writing.format in (Format.READING, Format.DIALOGUE, Format.LESSON)
        and writing.writer == "rules"
    ):
        return (f"The text gives about {minutes:g} minutes, not {asked:g}; nothing was added to it.",)
    return (f"The episode has about {minutes:g} minutes, not {asked:g}.",)


def left_out(document: Document, parts: Sequence[Part], minutes: float) -> tuple[LeftOut, ...]:
    """Parts that found no room in the minutes, neighbours together."""
    why = f"The episode is to have {minutes:g} minutes; the end of each section was left out."
    found: list[LeftOut] = []
    text = document.text
    for draft in (draft for part in parts for draft in part.drafts):
        if draft.span is None:
            continue
        last = found[-1].span if found else None
        if last is not None and last.start <= draft.span.start <= last.end + 2:
            span = last.model_copy(update={"end": max(last.end, draft.span.end)})
            found[-1] = found[-1].model_copy(update={"span": span, "text": excerpt(text[span.start : span.end])})
        else:
            found.append(LeftOut(what="text", why=why, text=excerpt(draft.text), place=draft.place, span=draft.span))
    return tuple(found)
