"""Sound as part of a conversation: questions about a recording, and spoken answers to speech."""

from __future__ import annotations

from pathlib import Path

from model_worker.engines.mimo.service import recording
from model_worker.engines.mimo.skill import Skill
from model_worker.engines.mimo.speaking import at_house_rate
from model_worker.engines.mimo.texts import answered, harmless
from model_worker.engines.waves import write_mono


class Listener(Skill):
    """Says in words what is to be heard."""

    tasks = ("understand",)

    def understand(self, audio: Path, question: str, *, thinking: bool = False, seed: int = 0) -> str:
        from model_worker.mimo import Request

        given = {"speech": recording(audio), "question": harmless(question), "thinking": thinking}
        return answered(self._service.run(Request("understand", given, seed=seed)).text)


class Partner(Skill):
    """Answers speech with speech."""

    tasks = ("converse",)

    def converse(self, audio: Path, out: Path, *, system: str = "", seed: int = 0) -> str:
        from model_worker.mimo import Request

        given = {"speech": recording(audio), "system": harmless(system)}
        take = self._service.run(Request("converse", given, seed=seed))
        write_mono(out, at_house_rate(take))
        return answered(take.text)
