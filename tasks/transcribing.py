"""Transcription: sound becomes words, chunk by chunk of a source, or take by take where a dub is judged."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import soundfile

from model_worker.engines.registry import engine, other_version
from speechmill.abilities import Ability, Engine, Heard, Transcribes
from speechmill.errors import EngineRefused, GivenUp
from speechmill.lines import RATE_HZ, Doubt, Word, seconds
from speechmill.recipes import Digest, Json, Recipe
from speechmill.settings import Settings
from storage.artifacts import ArtifactStore
from storage.catalog import Order, OrderKey
from tasks.media.extraction import Sound
from tasks.speech.activity import Chunk
from tasks.speech.mono import read
from tasks.workplace import Workplace

CUT_VERSION = "1"


@dataclass(frozen=True, slots=True)
class Hearing:
    """Hearing chunks of a source, as work for anybody."""

    place: Workplace
    sound: Sound
    chosen: Engine
    language: str
    kind = Ability.TRANSCRIBE

    @property
    def able(self) -> Transcribes:
        assert self.chosen.transcribes is not None
        return self.chosen.transcribes

    def do(self, given: Chunk) -> Heard:
        return hear_chunk(self.place.store, self.sound, given, self.able, self.language)

    def keep(self, results: Sequence[Heard]) -> None:
        """They are artifacts."""

    def recipe(self, given: Chunk) -> Recipe:
        return _recipe(self.sound.digest, given, self.able, self.language)

    def order(self, given: Chunk) -> Order:
        """A chunk goes out as a sound of its own: whoever hears it does not need the film."""
        item = f"{given.start_samples}-{given.end_samples}"
        key = OrderKey(self.place.job, self.kind, item, 1, self.recipe(given).digest)
        sound, chunk = self.sound.digest, dict[str, Json](asdict(given))
        recipe = Recipe("cut", CUT_VERSION, inputs=[sound], **chunk)
        cut = self.place.store.get_or_make(recipe, lambda out: _cut(self.place.here, self.sound, given, out), ".wav")
        return Order(
            key, self.language, {"engine": self.chosen.name, "sound": sound, "chunk": chunk, "cut": cut.sha256}
        )

    def recall(self, given: Sequence[Chunk], given_up: Mapping[OrderKey, str]) -> list[Heard]:
        """Raises ``GivenUp`` where a chunk is missing: what somebody says there would be lost."""
        for key, error in given_up.items():
            start, _, end = key.item.partition("-")
            where = f"{seconds(int(start)):.1f} s to {seconds(int(end)):.1f} s"
            raise GivenUp(
                f"the sound from {where} could not be transcribed ({error})", hint="mend that, and run the job again"
            )
        store = self.place.store.apart()  # workers have counted them
        return [hear_chunk(store, self.sound, chunk, self.able, self.language) for chunk in given]


def hear_ordered(settings: Settings, store: ArtifactStore, order: Order) -> None:
    """Hear the chunk that an order names, so that it is there to be found."""
    payload: dict[str, Any] = dict(order.payload)
    ear = engine(payload["engine"], settings).transcribes
    if ear is None:
        raise other_version(payload["engine"])
    recipe = _recipe(Digest(payload["sound"]), Chunk(**payload["chunk"]), ear, order.language)
    if recipe.digest != order.key.recipe:
        raise other_version(payload["engine"])
    _kept(store, recipe, lambda: ear.transcribe(store.path(Digest(payload["cut"])), order.language))


def transcribe(
    place: Workplace, sound: Sound, chunks: Sequence[Chunk], chosen: Engine, language: str
) -> list[tuple[Chunk, Heard]]:
    """What was said in each chunk, several chunks at a time; word times are samples of the programme. A chunk that the
    engine refuses is heard as nothing."""
    with place.stages("transcribe", len(chunks)) as advance:
        hearing = Hearing(place, sound, chosen, language)
        heard = place.dispatch(hearing, chunks, done=advance, check=place.stop_if_cancelled)
    return list(zip(chunks, heard, strict=True))


def _recipe(sound: Digest, chunk: Chunk, ear: Transcribes, language: str) -> Recipe:
    return Recipe(
        "transcribe",
        ear.version,
        inputs=[sound],
        start=chunk.start_samples,
        end=chunk.end_samples,
        language=language,
    )


def hear_chunk(store: ArtifactStore, sound: Sound, chunk: Chunk, ear: Transcribes, language: str) -> Heard:
    """Hear one chunk of a source, or find it heard."""
    recipe = _recipe(sound.digest, chunk, ear, language)

    def listen() -> Heard:
        with store.scratch() as folder:
            _cut(store, sound, chunk, folder / "chunk.wav")
            return ear.transcribe(folder / "chunk.wav", language)

    heard = _kept(store, recipe, listen)
    return replace(heard, words=tuple(_moved(word, chunk.start_samples) for word in heard.words))


def _cut(store: ArtifactStore, sound: Sound, chunk: Chunk, out: Path) -> None:
    """Write what an engine is to hear of a source: 48 kHz mono float WAV."""
    voice = read(store.path(sound.digest), sound.layout, chunk.start_samples, chunk.end_samples)
    soundfile.write(out, voice, RATE_HZ, subtype="FLOAT")


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
