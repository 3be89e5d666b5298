"""Which of our tasks a golden prompt case is about, and what is given for it.

The cases name the methods of the public implementation; this table is the only place that knows those names.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from .errors import PromptError
from .prompts import spoken_text

Load = Callable[[str], Tensor]
Given = dict[str, Any]


def task_of(case: dict[str, Any], load: Load) -> tuple[str, Given]:
    """The task and its arguments; ``load`` turns a wav's path into code ids [codebooks, frames]."""
    builder = case["builder"]
    if builder not in BUILDERS:
        raise PromptError(f"the prompt builder '{builder}' is not known")
    task, given = BUILDERS[builder](case["args"], load)
    return task, {
        "template": case.get("template"),
        **{name: value for name, value in given.items() if value is not None},
    }


def _speak(args: Given, load: Load) -> tuple[str, Given]:
    given = {
        "text": spoken_text(args["input"]),
        "instruct": args["instruct"],
        "voice": _maybe(args["prompt_speech"], load),
    }
    if not args["read_text_only"]:
        return "speak-described", given
    return "speak" if args["instruct"] is None else "speak-styled", given


def _converse(args: Given, load: Load) -> tuple[str, Given]:
    given: Given = {"speech": load(args["input_speech"])}
    if not args["add_history"]:
        given |= {"system": args["system_prompt"], "voice": _maybe(args["prompt_speech"], load)}
    return "converse", given


def _converse_turns(args: Given, load: Load) -> tuple[str, Given]:
    turns = []
    for message in args["message_list"]:
        content = message["content"]
        if message["role"] == "user":
            turns.append({"role": "user", "content": load(content)})
        else:
            turns.append({"role": "assistant", "text": content["text"], "audio": load(content["audio"])})
    voice = _maybe(args["prompt_speech"], load)
    return "converse-turns", {"turns": turns, "system": args["system_prompt"], "voice": voice}


def _reply_turns(args: Given, load: Load) -> tuple[str, Given]:
    turns = [
        {**message, "content": load(message["content"]) if message["role"] == "user" else message["content"]}
        for message in args["message_list"]
    ]
    return "reply-turns", {"turns": turns, "thinking": args["thinking"]}


def _convert(args: Given, load: Load) -> tuple[str, Given]:
    examples = [
        {
            "before": load(example["input_audio"]),
            "text": example["output_transcription"],
            "after": load(example["output_audio"]),
        }
        for example in args["prompt_examples"]
    ]
    return "convert", {"instruction": args["instruction"], "examples": examples, "speech": load(args["audio"])}


def _maybe(path: str | None, load: Load) -> Tensor | None:
    return None if path is None else load(path)


BUILDERS: dict[str, Callable[[Given, Load], tuple[str, Given]]] = {
    "get_asr_sft_prompt": lambda args, load: ("transcribe", {"speech": load(args["input"])}),
    "get_tts_sft_prompt": _speak,
    "get_audio_understanding_sft_prompt": lambda args, load: (
        "understand",
        {"speech": load(args["input_speech"]), "question": args["input_text"], "thinking": args["thinking"]},
    ),
    "get_spoken_dialogue_sft_prompt": _converse,
    "get_spoken_dialogue_sft_multiturn_prompt": _converse_turns,
    "get_s2t_dialogue_sft_prompt": lambda args, load: (
        "reply",
        {"content": load(args["input_speech"]), "thinking": args["thinking"]},
    ),
    "get_s2t_dialogue_sft_multiturn_prompt": _reply_turns,
    "get_text_dialogue_sft_prompt": lambda args, _: (
        "chat",
        {"text": args["input_text"], "thinking": args["thinking"]},
    ),
    "get_text_dialogue_sft_multiturn_prompt": lambda args, _: (
        "chat-turns",
        {"turns": args["message_list"], "thinking": args["thinking"]},
    ),
    "get_in_context_learning_s2s_prompt": _convert,
    "InputSegment": lambda args, load: ("audio", {"speech": load(args["audio"])}),
}
