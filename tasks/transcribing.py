"""Transcription: sound becomes words, chunk by chunk of a source, or take by take where a dub is judged."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import soundfile

from speechmill.abilities import Heard, Transcribes
from speechmill.errors import EngineRefused
from speechmill.lines import RATE_HZ, Doubt, Word
from speechmill.recipes import Digest, Recipe
from storage.artifacts import ArtifactStore
from tasks.dispatch import in_process
from tasks.media.extraction import Sound
from tasks.speech.activity import Chunk
from tasks.speech.mono import read
from tasks.workplace import Workplace


def transcribe(
    place: Workplace, sound: Sound, chunks: Sequence[Chunk], ear: Transcribes, language: str
) -> list[tuple[Chunk, Heard]]:
    """What was said in each chunk, several chunks at a time; word times are samples of the programme. A chunk that the
    engine refuses is heard as nothing."""

    def hear(chunk: Chunk) -> tuple[Chunk, Heard]:
        return chunk, hear_chunk(place.store, sound, chunk, ear, language)

    with place.stages("transcribe", len(chunks)) as advance:
        return in_process(hear, chunks, threads=place.settings.threads, done=advance, check=place.stop_if_cancelled)


def hear_chunk(store: ArtifactStore, sound: Sound, chunk: Chunk, ear: Transcribes, language: str) -> Heard:
    """Hear one chunk of a source, or find it heard."""
    recipe = Recipe(
        "transcribe",
        ear.version,
        inputs=[sound.digest],
        start=chunk.start_samples,
        end=chunk.end_samples,
        language=language,
    )

    def listen() -> Heard:
        with store.scratch() as folder:
            cut = folder / "chunk.wav"
            voice = read(store.path(sound.digest), sound.layout, chunk.start_samples, chunk.end_samples)
            soundfile.write(cut, voice, RATE_HZ, subtype="FLOAT")
            return ear.transcribe(cut, language)

    heard = _kept(store, recipe, listen)
    return replace(heard, words=tuple(_moved(word, chunk.start_samples) for word in heard.words))


def hear_take(store: ArtifactStore, audio: Digest, ear: Transcribes, language: str) -> str:
    """What an engine understands of a take."""
    recipe = Recipe("hear-take", ear.version, inputs=[audio], language=language)
    return _kept(store, recipe, lambda: ear.transcribe(store.path(audio), language)).text


def _kept(store: ArtifactStore, recipe: Recipe, listen: Callable[[], Heard]) -> Heard:
    def make(out: Path) -> None:
        try:
            heard = listen()
        except EngineRefused:
            heard = Heard("")
        words = [[w.text, w.start_samples, w.end_samples, round(w.confidence, 4)] for w in heard.words]
        kept = {"text": heard.text, "words": words, "doubts": heard.doubts}
        out.write_text(json.dumps(kept, ensure_ascii=False), "utf-8")

    found = json.loads(store.path(store.get_or_make(recipe, make).sha256).read_text("utf-8"))
    doubts = tuple(Doubt(doubt) for doubt in found.get("doubts", ()))
    return Heard(found["text"], tuple(Word(*word) for word in found["words"]), doubts)


def _moved(word: Word, by_samples: int) -> Word:
    return replace(word, start_samples=word.start_samples + by_samples, end_samples=word.end_samples + by_samples)
