"""Writing: the text chat of the instruct model, for translations between Chinese and English and for scripts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from model_worker.engines.mimo.service import LANGUAGES
from model_worker.engines.mimo.skill import Skill
from model_worker.engines.mimo.texts import answered, harmless
from model_worker.engines.texts import clean
from speechmill.abilities import Message, Phrase, Translation
from speechmill.errors import EngineRefused
from speechmill.languages import name
from speechmill.lines import Doubt

GROWTH = 2  # ids of a translation for each character of the text, at most
ANSWER_AT_LEAST = 64
ANSWER_GROUPS = 1500  # of one answer in a chat
RULES_GROUPS = 2500  # of what a writer of scripts is told besides the document
CHARACTERS_PER_GROUP = 1.5  # of Chinese, which is the denser one
MOST_TERMS = 40


class Translator(Skill):
    """Texts from one language to the other, phrase by phrase, all in one batch."""

    tasks = ("chat",)

    @property
    def pairs(self) -> frozenset[tuple[str, str]]:
        self._service.check()
        return frozenset((a, b) for a in LANGUAGES for b in LANGUAGES if a != b)

    def translate(
        self, phrases: Sequence[Phrase], source: str, target: str, glossary: Mapping[str, str]
    ) -> dict[str, Translation]:
        """What came back empty or without an end is left out."""
        from model_worker.mimo import GREEDY, Request

        texts = {phrase.id: clean(phrase.text) for phrase in phrases}
        wanted = {id: text for id, text in texts.items() if any(c.isalnum() for c in text)}
        requests = [
            Request(
                "chat",
                {"text": question(text, source, target, glossary)},
                text=GREEDY,
                max_new=ANSWER_AT_LEAST + GROWTH * len(text),
            )
            for text in wanted.values()
        ]
        made = {}
        for (id, text), take in zip(wanted.items(), self._service.run_all(requests), strict=True):
            said = "" if isinstance(take, EngineRefused) or not take.stopped else answered(take.text)
            if said:
                missed = any(a.casefold() in text.casefold() and b not in said for a, b in glossary.items())
                made[id] = Translation(said, doubts=(Doubt.GLOSSARY_MISSED,) if missed else ())
        return made


def question(text: str, source: str, target: str, glossary: Mapping[str, str]) -> str:
    """What the model is asked for one phrase; only terms that the phrase has are told."""
    terms = [f"{a} = {b}" for a, b in glossary.items() if a.casefold() in text.casefold()][:MOST_TERMS]
    told = f" Use these terms: {'; '.join(terms)}." if terms else ""
    return harmless(
        f"Translate this {name(source)} line of a film into spoken {name(target)}, about as long as it is. "
        f"Answer with the translation alone.{told}\n\n{text}"
    )


class Pen(Skill):
    """Answers in a written conversation."""

    tasks = ("chat-turns",)

    @property
    def most_characters(self) -> int:
        return max(0, int((self._service.groups - ANSWER_GROUPS - RULES_GROUPS) * CHARACTERS_PER_GROUP))

    def write(self, messages: Sequence[Message], seed: int) -> str:
        """The next message; raises ``EngineRefused`` for a conversation that is longer than the context."""
        from model_worker.mimo import Request

        told = "".join(f"{message.text}\n\n" for message in messages if message.role == "system")
        turns = [
            {"role": message.role, "content": harmless(message.text)}
            for message in messages
            if message.role != "system"
        ]
        turns[0]["content"] = harmless(told) + turns[0]["content"]  # this model has no system turn for text
        return self._service.run(Request("chat-turns", {"turns": turns}, seed=seed, max_new=ANSWER_GROUPS)).text
