"""Scripts by a language model: an outline with words for each section, then section by section with what was said so
far. What comes back is checked, asked for again, and what stays wrong is repaired and told.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib import resources
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from speechmill.episodes import EpisodeScript, Format, LineKind, ScriptSpeaker, Span, Writing
from speechmill.errors import Unavailable
from storage.artifacts import ArtifactStore
from tasks.documents.blocks import Block, Document, clean, excerpt
from tasks.scriptwriting import grounding
from tasks.scriptwriting.chat import ENDPOINT_CHARACTERS, Chat, Pen
from tasks.scriptwriting.drafting import in_spoken_form, script
from tasks.scriptwriting.length import TOLERANCE, Draft, episode_s, words
from tasks.scriptwriting.sentences import sentences

SECTION_WORDS = 350  # a local model keeps to a length of this order
OUTLINE_CHARACTERS = ENDPOINT_CHARACTERS  # of a longer document the beginnings of blocks
SECTION_CHARACTERS = 24_000
SAID_LINES = 12  # of what was said last
MOST_ROUNDS = 6  # of going on with a section that is too short
FILLED = 0.05  # of a section's words may be missing; half of what an episode may
LENGTH_TOLERANCE = 0.15  # of one section; what is missing or too much is made up for in the next
DEFAULT_MINUTES = (3.0, 15.0)  # an episode is at least and at most so long, where nobody says
CONVERSATION = 1.15  # talking about a text takes a little longer than reading it
BALANCED = 0.6  # of two sides, none may have more than this share of the words
WORDS_A_LINE = 20
LABEL = re.compile(r"^\s*\**([\w .-]{1,40}?)\**\s*:\s+")
DIRECTION = re.compile(
    r"\[[^\[\]]{1,60}\]|\((?:laughs?|sighs?|pauses?|chuckles?|music|applause)\b[^()]{0,30}\)|<[^<>]{1,60}>"
)


class OutlineSection(BaseModel):
    model_config = ConfigDict(extra="ignore")

    title: str = Field(min_length=1, max_length=300)
    about: str = ""
    blocks: list[str]
    words: int = Field(gt=0)


class Outline(BaseModel):
    model_config = ConfigDict(extra="ignore")

    sections: list[OutlineSection] = Field(min_length=1, max_length=300)


class ReplyLine(BaseModel):
    model_config = ConfigDict(extra="ignore")

    speaker: str
    text: str = Field(min_length=1)
    style: str = ""
    kind: LineKind = LineKind.SPEECH
    blocks: list[str] = Field(default_factory=list)


class SectionReply(BaseModel):
    model_config = ConfigDict(extra="ignore")

    lines: list[ReplyLine] = Field(min_length=1, max_length=400)


@dataclass(slots=True)
class _Written:
    """The episode as far as it is written."""

    drafts: list[Draft] = field(default_factory=list)
    repairs: dict[int, str] = field(default_factory=dict)  # sentences by number of the draft
    doubts: dict[int, str] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)  # repairs that no line came of
    runs: set[tuple[str, ...]] = field(default_factory=set)


def prompt(*names: str) -> str:
    """Prompts of the package, one after the other."""
    folder = resources.files("tasks.scriptwriting").joinpath("prompts")
    return "\n".join(folder.joinpath(f"{name}.md").read_text("utf-8") for name in names)


def write_by_model(
    document: Document,
    format: Format,
    pen: Pen,
    minutes: float | None,
    speakers: Mapping[str, ScriptSpeaker],
    characters_per_s: float,
    lexicon: Mapping[str, str] | None,
    store: ArtifactStore | None = None,
) -> EpisodeScript:
    """The script of a format by a model; ``store`` keeps its answers. Raises ``Unavailable`` where it gives none that
    can be used."""
    return _Writer(document, format, Chat(pen, store), minutes, speakers, characters_per_s, lexicon).write()


class _Writer:
    def __init__(
        self,
        document: Document,
        format: Format,
        chat: Chat,
        minutes: float | None,
        speakers: Mapping[str, ScriptSpeaker],
        characters_per_s: float,
        lexicon: Mapping[str, str] | None,
    ) -> None:
        self.document, self.format, self.chat, self.asked = document, format, chat, minutes
        self.speakers, self.rate, self.lexicon = speakers, characters_per_s, lexicon
        self.blocks: dict[str, Block] = {f"b{n}": block for n, block in enumerate(document.spoken_blocks, 1)}
        self.text = " ".join(block.text for block in document.blocks)
        self.folded = grounding.folded(self.text)
        self.language = document.language
        count = words(self.text, self.language)
        self.characters_per_word = len(self.text) / max(1, count)
        natural = count * self.characters_per_word / characters_per_s / 60 * CONVERSATION
        self.minutes = minutes or min(max(natural, DEFAULT_MINUTES[0]), DEFAULT_MINUTES[1])
        self.done = _Written()

    def write(self) -> EpisodeScript:
        outline = self._outline()
        for number, section in enumerate(outline):
            weight = section.words / sum(later.words for later in outline[number:])
            self._section(section, weight, first=number == 0, last=number == len(outline) - 1)
        if not self.done.drafts:
            raise Unavailable(
                f"the language model {self.chat.pen.model} gave no line that can be used", hint="choose another model"
            )
        writing = Writing(
            format=self.format,
            writer=self.chat.pen.model,
            minutes_asked=self.asked,
            left_out=self.document.skipped,
            notes=(*self.done.told, *self._balance()),
            calls=self.chat.pen.calls,
            tokens=self.chat.pen.tokens,
        )
        return script(
            self.document,
            self.done.drafts,
            self.speakers,
            writing,
            characters_per_s=self.rate,
            unsupported=self.done.doubts,
            repairs=self.done.repairs,
        )

    def _seconds_a_word(self) -> float:
        """As written so far, with the silences; before that by the document's words."""
        if self.done.drafts:
            count = sum(words(draft.text, self.language) for draft in self.done.drafts)
            return episode_s(self.done.drafts, self.rate) / max(1, count)
        return self.characters_per_word / self.rate + 0.4 / WORDS_A_LINE

    def _words_left(self) -> float:
        left_s = self.minutes * 60 - (episode_s(self.done.drafts, self.rate) if self.done.drafts else 1.5)
        return max(0.0, left_s / self._seconds_a_word())

    def _question(self) -> dict[str, Any]:
        who = {
            id: about.model_dump(include={"name", "role", "side"}, exclude_defaults=True)
            for id, about in self.speakers.items()
        }
        return {"language": self.language, "title": self.document.title, "speakers": who}

    def _outline(self) -> list[OutlineSection]:
        total = round(self._words_left())
        room = min(OUTLINE_CHARACTERS, self.chat.pen.most_characters) / max(
            1, sum(len(block.text) for block in self.blocks.values())
        )

        def shown(block: Block) -> str:
            return block.text if room >= 1 else excerpt(block.text, max(60, int(len(block.text) * room)))

        question = {
            **self._question(),
            "words": total,
            "sections": max(1, round(total / SECTION_WORDS)),
            "document": [{"id": id, "kind": b.kind, "text": shown(b)} for id, b in self.blocks.items()],
        }

        def review(outline: Outline) -> list[str]:
            unknown = sorted({id for section in outline.sections for id in section.blocks} - self.blocks.keys())
            empty = [section.title for section in outline.sections if not set(section.blocks) & self.blocks.keys()]
            problems = [f"There is no part {id!r} of the document." for id in unknown[:1]]
            return problems + [f"The section {title!r} uses no part of the document." for title in empty[:1]]

        outline, problems = self.chat.ask(prompt("rules", self.format, "outline"), question, Outline, review)
        kept = [section for section in outline.sections if set(section.blocks) & self.blocks.keys()]
        if problems:
            self.done.told.append("The outline named parts that the document does not have; they were left out.")
        if not kept:
            raise Unavailable(
                f"the language model {self.chat.pen.model} planned an episode without the document",
                hint="choose another model, or the format reading",
            )
        return kept

    def _section(self, section: OutlineSection, weight: float, *, first: bool, last: bool) -> None:
        """Write one section: as often as it takes to fill its share of the words that are left."""
        start = len(self.done.drafts)
        wanted = round(self._words_left() * weight)
        if wanted < WORDS_A_LINE // 2:
            self.done.told.append(f"There was no time left for the section “{excerpt(section.title)}”.")
            return
        cited = {id: self.blocks[id] for id in dict.fromkeys(section.blocks) if id in self.blocks}
        for round_number in range(MOST_ROUNDS):
            have = sum(words(draft.text, self.language) for draft in self.done.drafts[start:])
            missing = wanted - have
            if round_number and missing < max(FILLED * wanted, WORDS_A_LINE // 2):
                return
            reply = self._ask(section, cited, missing, first=first and not round_number, last=last)
            before = len(self.done.drafts)
            self._take(reply, section, cited, wanted - have)
            if len(self.done.drafts) == before:
                return

    def _ask(
        self, section: OutlineSection, cited: Mapping[str, Block], wanted: int, *, first: bool, last: bool
    ) -> SectionReply:
        room = min(SECTION_CHARACTERS, self.chat.pen.most_characters) // max(1, len(cited))
        question = {
            **self._question(),
            "section": {"title": section.title, "about": section.about},
            "words": wanted,
            "first": first,
            "last": last,
            "spoken": self._spoken(),
            "said": [{"speaker": d.speaker, "text": d.text} for d in self.done.drafts[-SAID_LINES:]],
            "document": [
                {"id": id, "kind": b.kind, "text": excerpt(b.text, max(200, room))} for id, b in cited.items()
            ],
        }

        def review(reply: SectionReply) -> list[str]:
            return self._problems(reply, wanted)

        return self.chat.ask(prompt("rules", self.format, "section"), question, SectionReply, review)[0]

    def _problems(self, reply: SectionReply, wanted: int) -> list[str]:
        """What a model could do better if it were told."""
        problems: list[str] = []
        strangers = sorted({line.speaker for line in reply.lines if self._speaker(line.speaker) is None})
        if strangers:
            problems.append(f"There is no speaker {strangers[0][:40]!r}; there are {', '.join(self.speakers)}.")
        have = sum(words(line.text, self.language) for line in reply.lines)
        if abs(have - wanted) > LENGTH_TOLERANCE * wanted:
            problems.append(f"It has {have} words and should have about {wanted}.")
        for line in reply.lines:
            false = grounding.false_quotes(line.text, self.folded)
            if false:
                problems.append(f"The quotation {false[0][:120]!r} does not stand in the document word for word.")
                break
        if any(grounding.runs_of(line.text) & self.done.runs for line in reply.lines):
            problems.append("It repeats what was said before.")
        shares = self._sides(self._count(reply))
        if shares and max(shares.values()) > BALANCED:
            problems.append(f"The sides do not speak equally long: {_told(shares)}.")
        return problems

    def _count(self, reply: SectionReply) -> Counter[str]:
        count = Counter(self._spoken())
        for line in reply.lines:
            count[self._speaker(line.speaker) or line.speaker] += words(line.text, self.language)
        return count

    def _spoken(self) -> dict[str, int]:
        count = dict.fromkeys(self.speakers, 0)
        for draft in self.done.drafts:
            count[draft.speaker] += words(draft.text, self.language)
        return count

    def _sides(self, count: Mapping[str, int]) -> dict[str, float]:
        """The share of each side of a debate in what both say; empty where there are no sides."""
        sides: Counter[str] = Counter()
        for id, about in self.speakers.items():
            if about.side:
                sides[about.side] += count.get(id, 0)
        total = sum(sides.values())
        return {side: n / total for side, n in sides.items()} if len(sides) > 1 and total else {}

    def _balance(self) -> tuple[str, ...]:
        shares = self._sides(self._spoken())
        return (f"Of what the sides say: {_told(shares)}.",) if shares else ()

    def _speaker(self, said: str) -> str | None:
        if said in self.speakers:
            return said
        folded = {id.casefold(): id for id in self.speakers}
        folded.update({about.name.casefold(): id for id, about in self.speakers.items() if about.name})
        return folded.get(said.strip().casefold())

    def _take(self, reply: SectionReply, section: OutlineSection, cited: Mapping[str, Block], wanted: int) -> None:
        """The lines of a reply that can be used, until the section has its words; the others are told."""
        have = 0
        for line in reply.lines:
            speaker = self._speaker(line.speaker)
            text = self._plain(line.text)
            if speaker is None or not any(c.isalnum() for c in text):
                why = "who is not in the cast" if speaker is None else "without words"
                self.done.told.append(f"A line of “{excerpt(line.speaker, 40)}”, {why}, was left out.")
                continue
            count = words(text, self.language)
            if have and have + count > wanted * (1 + TOLERANCE):
                self.done.told.append(f"The end of “{excerpt(section.title)}” was too long; it was left out.")
                return
            have += count
            self._add(line, speaker, text, section, cited)

    def _add(
        self, line: ReplyLine, speaker: str, text: str, section: OutlineSection, cited: Mapping[str, Block]
    ) -> None:
        sources = [cited[id] for id in line.blocks if id in cited]
        false = grounding.false_quotes(text, self.folded)
        text = grounding.without_quotes(text, false)
        doubt = (
            f"It quotes what the document does not say: “{excerpt(false[0])}”."
            if false
            else grounding.doubt(text, " ".join(b.text for b in sources), self.text, self.language)
        )
        span = Span(start=min(b.start for b in sources), end=max(b.end for b in sources)) if sources else None
        kind = line.kind if self.done.drafts else LineKind.SPEECH  # the first line has nobody to talk over
        links = tuple(link for block in sources for link in block.links)
        whole = Draft(speaker, text, span, excerpt(section.title, 200), clean(line.style)[:200], kind=kind, links=links)
        for start, end in sentences(text, self.language) if len(text) > 600 else [(0, len(text))]:
            at = len(self.done.drafts)
            self.done.drafts.extend(in_spoken_form([replace(whole, text=text[start:end])], self.language, self.lexicon))
            if doubt:
                self.done.doubts[at] = doubt
            if false:
                self.done.repairs[at] = "A quotation that the document does not have lost its quotation marks."
        self.done.runs |= grounding.runs_of(text)

    def _plain(self, text: str) -> str:
        """What is said: without a speaker's label, stage directions and markup."""
        label = LABEL.match(text)
        if label and self._speaker(label[1]) is not None:
            text = text[label.end() :]
        return clean(re.sub(r"[*_#`]+", "", DIRECTION.sub(" ", text)))


def _told(shares: Mapping[str, float]) -> str:
    return ", ".join(f"{side} {share:.0%}" for side, share in shares.items())
