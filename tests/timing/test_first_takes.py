"""The first takes of lines: how fast they are asked for, before anything is spoken."""

from __future__ import annotations

from model_worker.engines.rehearsal import Tone
from speechmill.lines import RATE_HZ, Anchor, Line
from speechmill.profiles import profile
from speechmill.voices import Speaker
from tasks.speaking import first_takes


def pace(language: str, text: str, room_s: float) -> float:
    line = Line("0001", "S1", language, text, anchor=Anchor(0, round(room_s * RATE_HZ)))
    tone = Tone()
    cast = {"S1": tone.voice(Speaker("S1"), language, [])}
    first = first_takes([line], cast, {}, tone, profile("youtube"), round(room_s * RATE_HZ))
    return first[0].utterance.pace


def test_a_line_hurries_by_what_its_own_language_takes() -> None:
    """Eighteen Chinese characters are four seconds of speech, eighteen letters a little more than one."""
    assert pace("zh", "火车早上九点出发，我从来没有见过它。", 4.5) == 1.0
    assert pace("zh", "火车早上九点出发，我从来没有见过它。", 3.0) > 1.2
    assert pace("es", "El tren sale hoy a", 3.0) == 1.0
