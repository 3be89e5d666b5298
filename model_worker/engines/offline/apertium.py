"""Translating by Apertium: a separate program, with whatever pairs of languages are installed.

Sentences go through one process, each ended by a null byte at which every part of Apertium's pipeline forgets what
came before. So a sentence is translated alike whatever stands around it, and the answers can be counted.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from model_worker.engines.offline.casing import sentence, written
from model_worker.engines.offline.sentences import Sentence, cased_like, punctuated, split
from model_worker.engines.texts import clean
from speechmill import programs
from speechmill.abilities import Phrase, Translation
from speechmill.errors import UnsupportedLanguage
from speechmill.languages import canonical, matches
from speechmill.lines import Doubt

REVISION = 1  # of what this module does with Apertium
LIMITS = programs.Limits(wall_s=600, memory_bytes=4 << 30)

END = "[]"  # an empty blank after the sentence: without it some pairs lose the last mark or word
RESERVED = r"[]{}^$/\@<>*#"
"""Characters that mean something in Apertium's stream, or that it marks unknown words with."""
_MASK = {ord(c): chr(0xE000 + index) for index, c in enumerate(RESERVED)}
_UNMASK = {0xE000 + index: c for index, c in enumerate(RESERVED)}
_MARK = re.compile(r"[*@#]")
_AFTER_UNKNOWN = re.compile(r"(\W*\*\S+\s+)(\w+)")
"""The second word of a sentence that begins with an unknown one: Apertium gives it the capital of the first."""
_MODE = re.compile(r"([a-z]{2,3}(?:_[A-Za-z]+)?)-([a-z]{2,3}(?:_[A-Za-z]+)?)")
_DATA = re.compile(r"'([^']+\.(?:bin|prob))'")

TERM = "zq{}xq"  # no word in any language: Apertium lets it stand where it is
_TERM = re.compile(r"zq([a-z]+)xq", re.IGNORECASE)


class Apertium:
    """Sentences of one language to another, marked where words were not known."""

    @cached_property
    def version(self) -> str:
        """Of the program and of its language data, which comes in packages of its own."""
        said = programs.run(["apertium", "-V"], limits=LIMITS).stdout.decode(errors="replace")
        found = re.search(r"\d+(\.\d+)+", said)
        data = hashlib.sha256()
        for mode in sorted(set(self._modes.values())):
            for path in _data_files(mode):
                state = path.stat()
                data.update(f"{path.name} {state.st_size} {int(state.st_mtime)}\n".encode())
        return f"apertium-{found[0] if found else 'unknown'}-{data.hexdigest()[:8]}+{REVISION}"

    @property
    def pairs(self) -> frozenset[tuple[str, str]]:
        return frozenset(self._modes)

    def translate(
        self, phrases: Sequence[Phrase], source: str, target: str, glossary: Mapping[str, str]
    ) -> dict[str, Translation]:
        """Translations by phrase id; ``shorter`` is empty, since Apertium has one answer."""
        mode = self._mode(source, target)
        terms = _Terms.of(glossary)
        parts = {phrase.id: split(_written(clean(phrase.text), source)) for phrase in phrases}
        asked = list(dict.fromkeys(terms.hidden(part) for found in parts.values() for part in found))
        answers = dict(zip(asked, self._ask(mode, asked), strict=True))
        made = {}
        for phrase in phrases:
            pieces = [(part, answers[terms.hidden(part)]) for part in parts[phrase.id]]
            translation = _joined(pieces, target, terms, phrase.text)
            if translation.text:
                made[phrase.id] = translation
        return made

    def _ask(self, mode: str, sentences: Sequence[str]) -> list[str]:
        """One answer for each sentence: all in one run, or, where that does not give as many answers as there are
        sentences, each in a run of its own. Empty for one that Apertium cannot read."""
        if not sentences:
            return []
        ran = self._run(mode, sentences)
        answers = ran.stdout.decode(errors="replace").split("\0")
        found, rest = answers[: len(sentences)], "".join(answers[len(sentences) :])
        whole = len(found) == len(sentences) and all(answer.rstrip().endswith(END) for answer in found)
        if ran.returncode == 0 and whole and not rest.strip():
            return [answer.rstrip().removesuffix(END) for answer in found]
        if len(sentences) > 1:
            return [self._ask(mode, [text])[0] for text in sentences]
        programs.raise_for("apertium", ran)
        return [""]

    def _run(self, mode: str, sentences: Sequence[str]) -> programs.Ran:
        given = "".join(f"{text.translate(_MASK)}{END}\0" for text in sentences)
        return programs.run(["apertium", "-f", "none", "-z", mode], stdin=given.encode(), limits=LIMITS, check=False)

    @cached_property
    def _modes(self) -> dict[tuple[str, str], str]:
        """Apertium's name of the direction for each pair of tags."""
        listed = programs.run(["apertium", "-l"], limits=LIMITS).stdout.decode(errors="replace")
        modes: dict[tuple[str, str], str] = {}
        for name in listed.split():
            found = _MODE.fullmatch(name)
            if found is None:
                continue
            try:
                modes[canonical(found[1]), canonical(found[2])] = name
            except UnsupportedLanguage:
                continue
        return modes

    def _mode(self, source: str, target: str) -> str:
        for pair in ((source, target), *sorted(self._modes)):
            if pair in self._modes and matches(source, pair[0]) and matches(target, pair[1]):
                return self._modes[pair]
        raise UnsupportedLanguage(
            f"Apertium has no pair {source} to {target}",
            hint=f"installed are {', '.join('→'.join(p) for p in sorted(self.pairs)) or 'none'}; "
            "more are packages named apertium-…",
        )


@dataclass(frozen=True, slots=True)
class _Terms:
    """The glossary: its terms go through Apertium as words that it cannot know, and come out as their targets."""

    sources: tuple[str, ...]
    targets: tuple[str, ...]

    @classmethod
    def of(cls, glossary: Mapping[str, str]) -> _Terms:
        longest_first = sorted(
            ((s, t) for s, t in glossary.items() if s.strip()), key=lambda term: (-len(term[0]), term)
        )
        return cls(tuple(s for s, _ in longest_first), tuple(t for _, t in longest_first))

    def hidden(self, part: Sentence) -> str:
        text = part.text
        for index, term in enumerate(self.sources):
            text = re.sub(rf"(?<!\w){re.escape(term)}(?!\w)", TERM.format(_letters(index)), text, flags=re.IGNORECASE)
        return text + part.end

    def shown(self, text: str) -> str:
        known = {_letters(index): target for index, target in enumerate(self.targets)}
        return _TERM.sub(lambda found: known.get(found[1].lower(), ""), text)

    def missed(self, source_text: str, text: str) -> bool:
        """Whether a term stands in the original, and its target not in the translation."""
        return any(
            re.search(rf"(?<!\w){re.escape(source)}(?!\w)", source_text, re.IGNORECASE)
            and target.casefold() not in text.casefold()
            for source, target in zip(self.sources, self.targets, strict=True)
        )


def _letters(index: int) -> str:
    """A number in letters, since digits would be translated as numbers."""
    return "".join(chr(ord("a") + int(digit)) for digit in str(index))


def _written(text: str, language: str) -> str:
    """English that was heard and is all small gets the capitals that Apertium needs to know its words."""
    if not canonical(language).startswith("en") or text != text.lower():
        return text
    return sentence(re.sub(r"[a-z']+", lambda found: written(found[0]), text))


def _joined(pieces: Sequence[tuple[Sentence, str]], target: str, terms: _Terms, source_text: str) -> Translation:
    said, unknown = [], False
    for part, answer in pieces:
        unknown = unknown or bool(_MARK.search(re.sub(r"[*@#]+(?=zq[a-z]+xq)", "", answer, flags=re.IGNORECASE)))
        plain = _MARK.sub("", _calm(answer, part.text)).replace("\\", "").translate(_UNMASK)
        said.append(punctuated(cased_like(part.text, terms.shown(plain)), part, target))
    text = " ".join(piece for piece in said if piece)
    doubts = [Doubt.UNKNOWN_WORDS] if unknown else []
    if terms.missed(source_text, text):
        doubts.append(Doubt.GLOSSARY_MISSED)
    return Translation(text, doubts=tuple(doubts))


def _calm(answer: str, source: str) -> str:
    """The answer without the capital of a second word that the original has no reason for."""
    found = _AFTER_UNKNOWN.match(answer)
    if found is None or any(word[0].isupper() for word in source.split()[1:]):
        return answer
    at = found.start(2)
    return answer[:at] + answer[at].lower() + answer[at + 1 :]


def _data_files(mode: str) -> list[Path]:
    """The compiled dictionaries and rules that a direction uses."""
    file = Path(programs.find("apertium")).resolve().parent.parent / "share/apertium/modes" / f"{mode}.mode"
    if not file.is_file():
        return []
    return [path for found in _DATA.findall(file.read_text("utf-8", "replace")) if (path := Path(found)).is_file()]
