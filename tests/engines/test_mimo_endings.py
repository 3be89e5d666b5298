"""MiMo-Audio in threads that are stopped, in too little memory, and at the end of its process."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="the extra 'mimo' is not installed")

import torch

from model_worker.engines.mimo.service import Service
from model_worker.mimo import Request
from model_worker.mimo.reader import Part, Reader
from model_worker.mimo.step import Plan, Stepper
from speechmill import programs
from speechmill.abilities import Engine, Utterance
from speechmill.errors import Cancelled, EngineRefused
from speechmill.takes import Reason, Take, Verdict
from storage.artifacts import ArtifactStore
from storage.catalog import Catalog
from storage.objects import FolderStore
from tasks.dispatch import in_process
from tasks.speaking import assign, speak_line

from .mimo import PLAIN, spoken


@pytest.mark.parametrize("why", [Cancelled("stopped"), KeyboardInterrupt()])
def test_takes_that_run_are_given_up_when_a_person_stops(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: BaseException
) -> None:
    """By ``speechmill cancel`` or Ctrl-C, however long the model would go on; the engine serves what comes later."""
    step, begun = Stepper.step, threading.Event()

    def slow(self: Stepper, plan: Plan) -> None:
        begun.set()
        time.sleep(0.05)
        step(self, plan)

    def speak(seed: int) -> None:
        assert engine.speaks
        if seed == 0:
            begun.wait(30)
            raise why
        engine.speaks.speak(Utterance("And so on, and so on. " * 10, "en", seed=seed), PLAIN, tmp_path / f"{seed}.wav")

    monkeypatch.setattr(Stepper, "step", slow)
    began = time.monotonic()
    with pytest.raises(type(why)):
        in_process(speak, range(12), threads=4, done=lambda _: None, check=lambda: None)
    assert time.monotonic() - began < 5  # four hundred steps of 50 ms are twenty seconds
    assert not list(tmp_path.glob("*.wav"))
    monkeypatch.undo()
    assert spoken(engine, tmp_path / "later.wav", PLAIN)


def test_a_line_that_does_not_fit_into_memory_fails_and_the_others_are_as_ever(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [*(f"Line number {n} is short." for n in range(5)), "This one is far too long, and " * 8]

    def takes(home: Path) -> list[Take]:
        assert engine.speaks
        given = [assign(f"{n}", PLAIN, Utterance(text, "en"), 1, engine.speaks) for n, text in enumerate(texts)]
        with closing(Catalog.open(f"sqlite:///{home}.db")) as catalog:
            store = ArtifactStore(FolderStore(home / "objects"), catalog, home)
            work = partial(speak_line, store, speaks=engine.speaks, ear=None)
            return in_process(work, given, threads=4, done=lambda _: None, check=lambda: None)

    wanted, read = takes(tmp_path / "roomy"), Reader.read

    def limited(self: Reader, prompts: list[Part]) -> None:
        if sum(len(prompt.groups) for prompt in prompts) > 100:
            raise torch.OutOfMemoryError("CUDA out of memory")
        read(self, prompts)

    monkeypatch.setattr(Reader, "read", limited)
    found = takes(tmp_path / "short")
    assert found[:-1] == wanted[:-1]
    assert any(take.audio for take in found)
    assert found[-1].verdict is Verdict.FAILED
    assert found[-1].reasons == (Reason.ENGINE_REFUSED,)


def test_nothing_is_asked_of_the_model_once_a_person_stopped(service: Service) -> None:
    with programs.stoppable():
        programs.stop_all()
        with pytest.raises(Cancelled):
            service.run(Request("chat", {"text": "Hello."}, max_new=4))
    assert service.run_all([Request("chat", {"text": "Hello."}, max_new=4)])


def test_a_closed_service_starts_again(service: Service) -> None:
    request = Request("chat", {"text": "Hello."}, max_new=4)
    first = service.run_all([request])[0]
    service.close()
    again = service.run_all([request])[0]
    assert not isinstance(first, EngineRefused)
    assert not isinstance(again, EngineRefused)
    assert first.text == again.text


def test_a_process_ends_although_its_engine_is_busy(tmp_path: Path) -> None:
    script = (
        "from pathlib import Path\n"
        "from tests.engines.mimo import tiny_settings\n"
        "from model_worker.engines.mimo.service import Service\n"
        "from model_worker.engines.mimo.weights import INSTRUCT, Weights\n"
        "from model_worker.mimo import Request\n"
        f"settings = tiny_settings(Path({str(tmp_path)!r}))\n"
        "service = Service(Weights.of(settings), settings)\n"
        "for seed in range(8):\n"
        "    service._engine(INSTRUCT).submit(Request('speak', {'text': 'Hello.'}, stops=(), max_new=900))\n"
        "print('asked')\n"
    )
    root = Path(__file__).parents[2]
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, cwd=root)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "asked\n", "")
