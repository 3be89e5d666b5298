"""The engine ``mimo``: MiMo-Audio hears, translates, speaks, writes and converses, in Chinese and English.

Making it costs nothing. Whether its weights are there is asked when its languages are first looked at, so before any
work; they are loaded by the first request, once for all threads of the process.
"""

from __future__ import annotations

from model_worker.engines.mimo.conversation import Listener, Partner
from model_worker.engines.mimo.hearing import Ear
from model_worker.engines.mimo.service import Service
from model_worker.engines.mimo.speaking import Mouth
from model_worker.engines.mimo.weights import NAME, Weights
from model_worker.engines.mimo.writing import Pen, Translator
from speechmill.abilities import Engine
from speechmill.settings import Settings

LICENCES = ("MiMo-Audio's weights, by Xiaomi: MIT",)


def engine(settings: Settings) -> Engine:
    """Nothing is read or loaded until an ability is asked for something."""
    service = Service(Weights.of(settings), settings)
    ear = Ear(service)
    return Engine(
        NAME,
        f"{NAME}-1",
        transcribes=ear,
        translates=Translator(service),
        speaks=Mouth(service, ear),
        writes=Pen(service),
        understands=Listener(service),
        converses=Partner(service),
        load=service.load,
        licences=LICENCES,
    )
