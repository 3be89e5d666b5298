"""Speaking by eSpeak NG: a separate program, one run for each take."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from model_worker.engines.texts import sayable
from model_worker.engines.waves import Mono, write_mono
from speechmill import programs
from speechmill.abilities import Utterance
from speechmill.errors import EngineRefused, UnsupportedLanguage
from speechmill.languages import base, canonical, matches
from speechmill.lines import RATE_HZ
from speechmill.voices import Speaker, Voice

REVISION = 2  # of what this module does with eSpeak
LIMITS = programs.Limits(wall_s=120, memory_bytes=2 << 30)

WORDS_PER_MINUTE = 175  # eSpeak's own pace, which is pace 1.0
SLOWEST_WPM, FASTEST_WPM = 80, 450  # what eSpeak takes
CHARACTERS_PER_S = 18.0  # of Spanish and English at pace 1.0: median of sixty everyday sentences, eSpeak NG 1.51
OTHERS_CHARACTERS_PER_S = {
    "fr": 24.0, "de": 21.5, "ar": 11.5, "th": 10.0, "ko": 7.0, "yue": 5.5, "zh": 4.3, "cmn": 4.3,
}  # fmt: skip
"""Languages that differ from that by more than a fifth, of eighteen that were measured with four sentences each."""

MISREAD = {"cmn": "cmn-latn-pinyin"}
"""Voices that another takes the place of: the first turns Chinese into pinyin, and reads that as English (1.51)."""
UNREAD = frozenset({"ja"})  # it has no readings for kanji, and says “Chinese letter” for each

OWN_RATE_HZ = 22_050
HEADER_BYTES = 44
FULL_SCALE = 32_768

SPEECH_DBFS = -20.0  # of the parts that are spoken; leaves room for the peaks
PEAK_DBFS = -1.0
FRAME_SAMPLES = OWN_RATE_HZ // 50  # 20 ms
SPOKEN_BELOW_LOUDEST_DB = 30.0

MALE, FEMALE = ("", "m3", "m7", "m2", "m6", "m1"), ("f2", "f5", "f4", "f3", "f1")
"""eSpeak's variants, those that are the most different from each other first; the empty one is the voice itself."""
PLAIN = "m0"  # what the empty one is called
FEMALE_FROM_HZ = 150.0  # between what is usual for men (85 to 155 Hz) and for women (165 to 255 Hz)

MIDDLE = 50  # eSpeak's pitch setting, 0 to 99
OWN_PITCH_HZ = {
    "": 102.0, "m3": 106.0, "m7": 108.0, "m2": 101.0, "m6": 101.0, "m1": 94.0,
    "f2": 196.0, "f5": 205.0, "f4": 180.0, "f3": 209.0, "f1": 178.0,
}  # fmt: skip
"""Median pitch of each variant at the middle setting, measured with ``tasks.speech.pitch`` on eSpeak NG 1.51."""
PITCH_SETTINGS = (0, 20, 40, 50, 60, 80, 99)
PITCH_RATIOS = (0.67, 0.77, 0.91, 1.0, 1.105, 1.35, 1.65)
"""How settings move a variant's pitch: the same for all variants within 3 %, measured likewise."""
NATURAL_SETTINGS = (25, 75)  # beyond these it sounds like a machine's joke
APART_SETTING = 12  # two voices of one sex are at least this far apart: about two semitones

_VOICE = re.compile(r"\s*(\d+)\s+(\S+)\s+\S+/[MF-]\s+\S+\s+(\S+)\s*(.*)")
_OTHER = re.compile(r"\((\S+) (\d+)\)")


class Espeak:
    """Lines to sound, by the voices that are installed."""

    varies = False

    def __init__(self, engine: str) -> None:
        self._engine = engine

    @cached_property
    def version(self) -> str:
        said = programs.run(["espeak-ng", "--version"], limits=LIMITS).stdout.decode(errors="replace")
        found = re.search(r"\d+(\.\d+)+\S*", said)
        return f"espeak-ng-{found[0] if found else 'unknown'}+{REVISION}"

    @property
    def languages(self) -> frozenset[str]:
        return frozenset(self._voices)

    def characters_per_s(self, language: str) -> float:
        return OTHERS_CHARACTERS_PER_S.get(base(language), CHARACTERS_PER_S)

    def voice(self, speaker: Speaker, language: str, taken: Sequence[Voice]) -> Voice:  # noqa: ARG002
        """A variant of the speaker's sex at about the speaker's pitch, as far as that was measured; speakers whose
        pitch is not known are women and men in turn."""
        pitch = speaker.pitch_hz
        female = len(taken) % 2 == 0 if pitch is None else pitch >= FEMALE_FROM_HZ
        variants = FEMALE if female else MALE
        used = [voice.settings.get("variant") for voice in taken]
        variant = min(variants, key=lambda v: (used.count(v), variants.index(v)))
        wanted = MIDDLE if pitch is None else _setting(pitch / OWN_PITCH_HZ[variant])
        others = [
            s for v in taken if v.settings.get("variant") in variants and isinstance(s := v.settings["pitch"], int)
        ]
        return self._voice(variant, _apart(wanted, others))

    @property
    def voice_names(self) -> tuple[str, ...]:
        return (*(variant or PLAIN for variant in MALE), *FEMALE)

    def named(self, name: str) -> Voice:
        return self._voice("" if name == PLAIN else name, MIDDLE)

    def pitched(self, voice: Voice, semitones: float) -> Voice:
        """As far as eSpeak's own setting goes: about seven semitones down and nine up."""
        setting = voice.settings["pitch"]
        assert isinstance(setting, int)
        ratio = np.exp(np.interp(setting, PITCH_SETTINGS, np.log(PITCH_RATIOS))) * 2 ** (semitones / 12)
        moved = round(float(np.interp(np.log(ratio), np.log(PITCH_RATIOS), PITCH_SETTINGS)))
        return self._voice(str(voice.settings["variant"]), moved)

    def _voice(self, variant: str, setting: int) -> Voice:
        return Voice(f"{variant or PLAIN} at {setting}", self._engine, {"variant": variant, "pitch": setting})

    def speak(self, utterance: Utterance, voice: Voice, out: Path) -> None:
        """Raises ``EngineRefused`` for a text in which there is nothing that it can say."""
        text = sayable(utterance.text).replace("[[", "[ [")  # two brackets would begin phonemes
        variant, pitch = voice.settings.get("variant", ""), voice.settings.get("pitch", MIDDLE)
        speed = round(min(max(WORDS_PER_MINUTE * utterance.pace, SLOWEST_WPM), FASTEST_WPM))
        name = self._name(utterance.language) + (f"+{variant}" if variant else "")
        # The text goes in by stdin: it can be long, and never be taken for an option.
        argv = ["espeak-ng", "-b", "1", "-z", "-v", name, "-s", str(speed), "-p", str(pitch), "--stdin", "--stdout"]
        ran = programs.run(argv, stdin=text.encode(), limits=LIMITS)
        own = np.frombuffer(ran.stdout[HEADER_BYTES:][: (len(ran.stdout) - HEADER_BYTES) // 2 * 2], "<i2")
        if not len(own) or not own.any():
            raise EngineRefused("eSpeak made no sound of this text", hint="write it in words")
        write_mono(out, _levelled(own.astype(np.float32) / np.float32(FULL_SCALE)))

    @cached_property
    def _voices(self) -> dict[str, str]:
        """eSpeak's name of the best voice for each language tag."""
        listed = programs.run(["espeak-ng", "--voices"], limits=LIMITS).stdout.decode(errors="replace")
        offers: list[tuple[int, str, str]] = []
        for line in listed.splitlines()[1:]:
            found = _VOICE.fullmatch(line)
            if found is None or found[3].startswith("mb/"):  # MBROLA's voices are other packages
                continue
            priority, name, _, others = found.groups()
            offers.append((int(priority) - 10, name, name))  # a voice comes first for its own language
            offers += [(int(rank), tag, name) for tag, rank in _OTHER.findall(others)]
        best: dict[str, str] = {}
        for _, written, name in sorted(offers):
            try:
                best.setdefault(canonical(written), MISREAD.get(name, name))
            except UnsupportedLanguage:
                continue  # eSpeak has names of its own for some accents
        return {tag: name for tag, name in best.items() if tag not in UNREAD}

    def _name(self, language: str) -> str:
        """The voice for a tag: its own, its language's, or that of another region."""
        offered = self._voices
        for tag in (language, base(language), *sorted(offered)):
            if tag in offered and matches(language, tag):
                return offered[tag]
        raise UnsupportedLanguage(f"eSpeak has no voice for {language}", hint=f"it has {', '.join(sorted(offered))}")


def _setting(ratio: float) -> int:
    """The pitch setting that moves a variant's pitch by a ratio, within what sounds natural."""
    setting = float(np.interp(np.log(ratio), np.log(PITCH_RATIOS), PITCH_SETTINGS))
    return round(min(max(setting, NATURAL_SETTINGS[0]), NATURAL_SETTINGS[1]))


def _apart(wanted: int, others: Sequence[int]) -> int:
    """The natural setting nearest to the wanted one that is far enough from the others, or as far as there is."""
    settings = range(NATURAL_SETTINGS[0], NATURAL_SETTINGS[1] + 1)

    def near(setting: int) -> tuple[int, int]:
        closest = min((abs(setting - other) for other in others), default=APART_SETTING)
        return -min(closest, APART_SETTING), abs(setting - wanted)

    return min(settings, key=near)


def _levelled(own: Mono) -> Mono:
    """48 kHz, with speech at one level whatever the voice."""
    from scipy.signal import resample_poly

    common = math.gcd(RATE_HZ, OWN_RATE_HZ)
    sound = resample_poly(own, RATE_HZ // common, OWN_RATE_HZ // common).astype(np.float32)
    padded = np.pad(own, (0, -len(own) % FRAME_SAMPLES)).reshape(-1, FRAME_SAMPLES)
    power = (padded.astype(np.float64) ** 2).mean(axis=1)
    spoken = power[power > power.max() * 10 ** (-SPOKEN_BELOW_LOUDEST_DB / 10)].mean()
    gain = min(10 ** (SPEECH_DBFS / 20) / math.sqrt(spoken), 10 ** (PEAK_DBFS / 20) / float(np.abs(sound).max()))
    levelled: Mono = sound * np.float32(gain)
    return levelled
