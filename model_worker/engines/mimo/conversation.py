"""Sound as part of a conversation: questions about a recording, and spoken answers to speech."""

from __future__ import annotations

from pathlib import Path

from model_worker.engines.mimo.service import LANGUAGES, Service, recording
from model_worker.engines.mimo.speaking import at_house_rate
from model_worker.engines.mimo.texts import answered, harmless
from model_worker.engines.waves import write_mono


class Listener:
    """Says in words what is to be heard."""

    def __init__(self, service: Service) -> None:
        self._service = service

    @property
    def version(self) -> str:
        return self._service.version("understand")

    @property
    def languages(self) -> frozenset[str]:
        self._service.weights.check()
        return LANGUAGES

    def understand(self, audio: Path, question: str, *, thinking: bool = False, seed: int = 0) -> str:
        from model_worker.mimo import Request

        given = {"speech": recording(audio), "question": harmless(question), "thinking": thinking}
        return answered(self._service.run(Request("understand", given, seed=seed)).text)


class Partner:
    """Answers speech with speech."""

    def __init__(self, service: Service) -> None:
        self._service = service

    @property
    def version(self) -> str:
        return self._service.version("converse")

    @property
    def languages(self) -> frozenset[str]:
        self._service.weights.check()
        return LANGUAGES

    def converse(self, audio: Path, out: Path, *, system: str = "", seed: int = 0) -> str:
        from model_worker.mimo import Request

        given = {"speech": recording(audio), "system": harmless(system)}
        take = self._service.run(Request("converse", given, seed=seed))
        write_mono(out, at_house_rate(take))
        return answered(take.text)
