"""SRT and WebVTT as a document: what each person says until another speaks is a paragraph of theirs."""

from __future__ import annotations

from collections.abc import Iterator

from speechmill.languages import UNSPACED
from speechmill.lines import samples_of_ms
from tasks.documents.blocks import Dropped, Kind, Piece
from tasks.text.cues import read_cues
from tasks.text.scripts import clock
from tasks.text.wrapping import SENTENCE_END

PARAGRAPH_CHARACTERS = 400  # after so many the next end of a sentence ends the paragraph
LONG_SILENCE_MS = 4_000  # parts paragraphs, as a pause of that length does for a listener


def pieces(text: str, name: str, language: str) -> Iterator[Piece | Dropped]:
    """Paragraphs of a script with times; raises ``UnreadableScript``."""
    joint = "" if language in UNSPACED else " "
    said: list[str] = []
    speaker, began_ms, ended_ms = "", 0, 0

    def paragraph() -> Iterator[Piece]:
        if said:
            yield Piece(Kind.BODY, joint.join(said), clock(samples_of_ms(began_ms)), speaker=speaker)

    for cue in read_cues(text, name, language):
        place = clock(samples_of_ms(cue.start_ms))
        if cue.sound:
            yield Dropped("sound", "It describes a sound.", cue.text, place)
            continue
        full = sum(map(len, said)) > PARAGRAPH_CHARACTERS and SENTENCE_END.search(said[-1]) is not None
        if said and (cue.speaker != speaker or full or cue.start_ms - ended_ms > LONG_SILENCE_MS):
            yield from paragraph()
            said.clear()
        if not said:
            speaker, began_ms = cue.speaker, cue.start_ms
        said.append(cue.text)
        ended_ms = cue.end_ms
    yield from paragraph()
