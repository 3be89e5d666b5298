"""Voices that MiMo-Audio is asked for in words, and how a line is to be said.

The instruct model does not imitate a recording (its makers say so); what it follows is a description of who speaks
and how. The sentences are of our own making.
"""

from __future__ import annotations

from collections.abc import Sequence

from model_worker.engines.mimo.weights import NAME
from speechmill.abilities import Utterance
from speechmill.languages import base
from speechmill.voices import Speaker, Voice

FEMALE_FROM_HZ = 150.0  # between what is usual for men (85 to 155 Hz) and for women (165 to 255 Hz)
OWN = "own"  # the model's own voice, which is asked for by saying nothing

DESCRIBED: dict[str, tuple[bool, str, str]] = {  # name: female, in English, in Chinese
    "bright woman": (True, "a young woman with a clear, bright voice", "年轻女性，声音清亮"),
    "deep man": (False, "a middle-aged man with a deep, calm voice", "中年男性，声音低沉稳重"),
    "warm woman": (True, "a middle-aged woman with a warm, low voice", "中年女性，声音温暖偏低"),
    "bright man": (False, "a young man with a light, lively voice", "年轻男性，声音轻快明亮"),
    "old woman": (True, "an elderly woman with a soft, slow voice", "老年女性，声音柔和缓慢"),
    "rough man": (False, "an elderly man with a rough, husky voice", "老年男性，声音沙哑粗糙"),
    "crisp woman": (True, "a grown woman with a crisp, high voice", "成年女性，声音高而干脆"),
    "full man": (False, "a grown man with a full, resonant voice", "成年男性，声音浑厚响亮"),
}  # fmt: skip

PACES = (  # from this pace on: in English, in Chinese
    (1.25, "speaking very fast", "语速很快"),
    (1.08, "speaking a little fast", "语速稍快"),
    (0.92, "", ""),
    (0.8, "speaking a little slowly", "语速稍慢"),
    (0.0, "speaking very slowly", "语速很慢"),
)


def voice_for(speaker: Speaker, taken: Sequence[Voice]) -> Voice:
    """The first speaker whose pitch is not known has the model's own voice; others a described one of their sex, or
    women and men in turn. When all are taken they come again, with other noise."""
    used = [str(voice.settings.get("described")) for voice in taken if voice.engine == NAME]
    if speaker.pitch_hz is None and not used:
        return described(OWN)
    female = len(used) % 2 == 1 if speaker.pitch_hz is None else speaker.pitch_hz >= FEMALE_FROM_HZ
    names = [name for name, (sex, _, _) in DESCRIBED.items() if sex == female]
    name = min(names, key=lambda one: (used.count(one), names.index(one)))
    return described(name, used.count(name))


def described(name: str, again: int = 0) -> Voice:
    """The model's own voice, or one of ``DESCRIBED``; ``again`` counts how often it was given out before."""
    called = "MiMo's own" if name == OWN else name
    return Voice(f"{called} {again + 1}" if again else called, NAME, {"described": name, "again": again})


def instruction(utterance: Utterance, voice: Voice) -> str:
    """Who speaks, how, and how fast, in the language of the line; empty where nothing particular is asked."""
    chinese = base(utterance.language) == "zh"
    pace = next(said for least, *said in PACES if utterance.pace >= least)[chinese]
    described = DESCRIBED.get(str(voice.settings.get("described")))
    who = (described[2] if chinese else described[1]) if described else ""
    return ("，" if chinese else ", ").join(part for part in (who, utterance.style.strip(), pace) if part)
