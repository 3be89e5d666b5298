"""What to say to the model for each task: one table of pieces, and the settings that go with it.

A prompt is a list of pieces, each tokenised **on its own**, so the borders are part of the format. A piece is text
(``{name}`` is filled in), audio, an interleaved answer, an optional part, or one part per turn or example. The
formats are those of the public implementation, which the golden prompts confirm group by group.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from .config import LmConfig
from .errors import PromptError
from .groups import Groups
from .sampler import GREEDY, Sampling
from .text import EOSP, EOSTM, EOT, IM_END, SOSP, SOSTM, TextTokenizer

SPEAK_TEXTS = 5  # text ids in a row, then as many audio groups: the rhythm of interleaved speech
ROOM_PER_GROUP = 8  # a text id is spoken in about two audio groups; four times that never stops by itself
SPEAK_ROOM = 80
AUDIO_SAMPLING = Sampling(temperature=0.9, top_p=0.95)


@dataclass(frozen=True, slots=True)
class Audio:
    """The recording given under ``name``; ``framed`` puts start and end marks around it."""

    name: str
    framed: bool = True


@dataclass(frozen=True, slots=True)
class Spoken:
    """Speech of the assistant: text and audio given under these names, interleaved."""

    text: str
    audio: str


@dataclass(frozen=True, slots=True)
class When:
    """Pieces that are left out unless ``name`` is given; ``first_only``: not after the first turn of an ``Each``."""

    name: str
    pieces: tuple[Piece, ...]
    first_only: bool = False


@dataclass(frozen=True, slots=True)
class Each:
    """Pieces for every entry of the list ``name``: by its ``role``, or the only ones there are."""

    name: str
    by_role: Mapping[str, tuple[Piece, ...]]


@dataclass(frozen=True, slots=True)
class Shared:
    """Marks what comes before as the same for many requests: its keys and values are worth keeping."""


Piece = str | Audio | Spoken | When | Each | Shared


@dataclass(frozen=True, slots=True)
class Task:
    """How one task is asked, sampled and stopped."""

    pieces: tuple[Piece, ...]
    text: Sampling
    stops: tuple[str, ...]  # besides the text tokenizer's own end token
    speaks: bool = False  # the answer is meant to hold audio
    audio: Sampling = AUDIO_SAMPLING
    room: int = 512  # groups an answer may have, besides ROOM_PER_GROUP for each group of the prompt's own part


@dataclass(frozen=True, slots=True, eq=False)
class Prompt:
    """The groups to continue; the first ``shared`` of them recur in other requests."""

    groups: Groups
    shared: int


USER, ASSISTANT, SYSTEM, END = "<|im_start|>user\n", "<|im_start|>assistant\n", "<|im_start|>system\n", "<|im_end|>\n"
THINK = When("thinking", ("<think>\n",))
NO_THINK = When("!thinking", ("<think>\n\n</think>\n",))
STYLE = "你需要根据指定的风格指令和文本内容来生成语音。"
STYLE_AND_VOICE = "你需要根据指定的风格指令和文本内容来生成和语音prompt具有相同音色的语音。你的音色应该是："
STYLED: tuple[Piece, ...] = (
    SYSTEM,
    When("voice", (STYLE_AND_VOICE, Audio("voice"))),
    When("!voice", (STYLE,)),
    END,
    Shared(),
)
VOICE = When("voice", (SYSTEM, "Your voice should be:", Audio("voice"), END))
USER_SPEECH: tuple[Piece, ...] = (USER, Audio("content"), END)
TURN_TEXT: tuple[Piece, ...] = (ASSISTANT, "{content}", END)

TEXT_STOPS, SPEECH_STOPS = (IM_END,), (EOSTM, IM_END)
SPEAK_SAMPLING = Sampling(temperature=0.6)
DIALOGUE_SAMPLING = Sampling(temperature=0.6, top_p=0.95)
UNDERSTAND_SAMPLING = Sampling(temperature=0.3, top_p=0.95)
CHAT_SAMPLING = Sampling(temperature=0.4, top_p=0.95)

TASKS: Mapping[str, Task] = {
    "transcribe": Task((USER, Audio("speech"), "{template}", END, ASSISTANT, NO_THINK), GREEDY, TEXT_STOPS),
    "speak": Task(
        (USER + "{template}: {text}" + END, ASSISTANT + SOSTM),
        SPEAK_SAMPLING, SPEECH_STOPS, speaks=True, room=SPEAK_ROOM,
    ),
    "speak-styled": Task(
        (*STYLED, USER + "{template}: {text}({instruct})" + END, ASSISTANT + "<think>\n"),
        SPEAK_SAMPLING, SPEECH_STOPS, speaks=True, room=SPEAK_ROOM,
    ),
    "speak-described": Task(
        (*STYLED, USER + "{text}" + END, ASSISTANT + "<think>\n"),
        SPEAK_SAMPLING, SPEECH_STOPS, speaks=True, room=SPEAK_ROOM,
    ),
    "understand": Task(
        (USER, Audio("speech"), "{question}", END, ASSISTANT, THINK, NO_THINK), UNDERSTAND_SAMPLING, TEXT_STOPS
    ),
    "converse": Task(
        (VOICE, Shared(), USER, When("system", ("{system}", "\n\n")), Audio("speech"), END, ASSISTANT + SOSTM),
        DIALOGUE_SAMPLING, SPEECH_STOPS, speaks=True,
    ),
    "converse-turns": Task(
        (
            VOICE,
            Shared(),
            Each("turns", {
                "user": (USER, When("system", ("{system}", "\n\n"), first_only=True), Audio("content"), END),
                "assistant": (ASSISTANT, Spoken("text", "audio"), END),
            }),
            ASSISTANT + SOSTM,
        ),
        DIALOGUE_SAMPLING, SPEECH_STOPS, speaks=True,
    ),
    "reply": Task((*USER_SPEECH, ASSISTANT, THINK, NO_THINK), DIALOGUE_SAMPLING, TEXT_STOPS),
    "reply-turns": Task(
        (Each("turns", {"user": USER_SPEECH, "assistant": TURN_TEXT}), ASSISTANT, THINK, NO_THINK),
        DIALOGUE_SAMPLING, TEXT_STOPS,
    ),
    "chat": Task((USER, "{text}", END, ASSISTANT, THINK, NO_THINK), CHAT_SAMPLING, TEXT_STOPS),
    "chat-turns": Task(
        (Each("turns", {"user": (USER, "{content}", END), "assistant": TURN_TEXT}), ASSISTANT, THINK, NO_THINK),
        CHAT_SAMPLING, TEXT_STOPS,
    ),
    # The base model's few-shot form: voice, style and rate conversion, denoising, editing, speech translation.
    "convert": Task(
        (
            "[Int]:{instruction}\n",
            Each("examples", {"": (Audio("before"), "\n", Spoken("text", "after"), " \n\n")}),
            Shared(),
            Audio("speech"), "\n", SOSTM,
        ),
        GREEDY, (EOSTM,), speaks=True,
    ),
    "audio": Task((Audio("speech", framed=False),), GREEDY, TEXT_STOPS),
}  # fmt: skip

TEMPLATES: Mapping[str, tuple[str, str]] = {  # English, Chinese: of the reference's paraphrases one each, fixed
    "transcribe": ("Please transcribe this audio file", "请将这段语音转换为文字"),
    "speak": ("Please convert this text to speech", "请将这段文字转换为语音"),
    "speak-styled": ("Please convert this text to speech", "请将这段文字转换为语音"),
}


def spoken_text(text: str) -> str:
    """Text to be spoken: one that is wholly upper or wholly lower case is capitalised, as in training."""
    return text.capitalize() if text.isupper() or text.islower() else text


def default_template(task: str, *, chinese: bool) -> str:
    """The fixed request sentence of a task; empty for tasks that have none."""
    return TEMPLATES.get(task, ("", ""))[chinese]


def is_chinese(text: str) -> bool:
    """Whether the reference would use its Chinese templates for this text."""
    return any("\u4e00" <= character <= "\u9fff" for character in text)


class PromptBuilder:
    """Turns a task and what is given for it into groups. Audio is given as code ids [codebooks, frames]."""

    def __init__(self, config: LmConfig, text: TextTokenizer) -> None:
        self.config = config
        self.text = text

    def build(self, task: str, given: Mapping[str, Any]) -> Prompt:
        """Raises :class:`PromptError` for an unknown task or a piece that is not given."""
        if task not in TASKS:
            raise PromptError(f"there is no task '{task}'", hint=f"tasks: {', '.join(TASKS)}")
        parts: list[Groups] = []
        shared = 0
        for piece in TASKS[task].pieces:
            if isinstance(piece, Shared):
                shared = sum(map(len, parts))
            else:
                parts += self._piece(piece, given, first=True)
        return Prompt(Groups.joined(parts), shared)

    def stops(self, task: str) -> tuple[int, ...]:
        """Ids that end the answer of a task."""
        return tuple(dict.fromkeys((self.text.eos, *(self.text.id(name) for name in TASKS[task].stops))))

    def _pieces(self, pieces: Sequence[Piece], given: Mapping[str, Any], *, first: bool) -> list[Groups]:
        return [groups for piece in pieces for groups in self._piece(piece, given, first=first)]

    def _piece(self, piece: Piece, given: Mapping[str, Any], *, first: bool) -> list[Groups]:
        match piece:
            case str():
                return [self._text(piece.format_map(_Given(given)))]
            case Audio(name, framed):
                audio = self._audio(_need(given, name), name)
                return [self._mark(SOSP), audio, self._mark(EOSP)] if framed else [audio]
            case Spoken(text, audio):
                return self._interleaved(str(_need(given, text)), self._audio(_need(given, audio), audio))
            case When(name, pieces, first_only):
                wanted = _is_given(given.get(name.removeprefix("!"))) is not name.startswith("!")
                return self._pieces(pieces, given, first=first) if wanted and (first or not first_only) else []
            case Each(name, by_role):
                groups = []
                entries = _need(given, name)
                if not isinstance(entries, Sequence) or not all(isinstance(entry, Mapping) for entry in entries):
                    raise PromptError(f"'{name}' must be a list, each entry with names and values")
                for number, entry in enumerate(entries):
                    role = entry.get("role", "")
                    if not isinstance(role, str) or role not in by_role:
                        raise PromptError(f"a turn has the role '{role}'", hint=f"roles: {', '.join(by_role)}")
                    groups += self._pieces(by_role[role], {**given, **entry}, first=number == 0)
                return groups
        raise AssertionError(piece)

    def _text(self, text: str) -> Groups:
        return Groups.of_text(self.text.encode(text), self.config)

    def _mark(self, token: str) -> Groups:
        return Groups.of_text([self.text.id(token)], self.config)

    def _audio(self, codes: Tensor, name: str) -> Groups:
        wanted = self.config.channels
        if not isinstance(codes, Tensor) or codes.dim() != 2 or len(codes) < wanted or not codes.shape[1]:
            raise PromptError(f"'{name}' must be a recording, or codes of {wanted} codebooks")
        if codes.is_floating_point() or codes.is_complex():
            raise PromptError(f"'{name}' must have whole numbers as codes")
        return Groups.of_audio(codes, self.config, self.text.empty)

    def _interleaved(self, text: str, audio: Groups) -> list[Groups]:
        """Five text ids, five audio groups, and so on; what is left of one stream follows when the other has ended."""
        ids = self.text.encode(text)
        texts = [ids[start : start + SPEAK_TEXTS] for start in range(0, len(ids), SPEAK_TEXTS)] or [[]]
        texts[-1] = [*texts[-1], self.text.id(EOT)]
        sounds = [audio[start : start + SPEAK_TEXTS] for start in range(0, len(audio), SPEAK_TEXTS)]
        groups = [self._mark(SOSTM)]
        for turn in range(max(len(texts), len(sounds))):
            groups += [Groups.of_text(chunk, self.config) for chunk in texts[turn : turn + 1]]
            groups += sounds[turn : turn + 1]
        return [*groups, self._mark(EOSTM)]


class _Given(dict[str, Any]):
    """What is given, for filling in text; a missing name is the caller's mistake and said so."""

    def __missing__(self, name: str) -> str:
        raise PromptError(f"'{name}' is needed for this task, but not given")


def _is_given(value: Any) -> bool:
    return isinstance(value, Tensor) or bool(value)


def _need(given: Mapping[str, Any], name: str) -> Any:
    value = given.get(name)
    if value is None:
        raise PromptError(f"'{name}' is needed for this task, but not given")
    return value
