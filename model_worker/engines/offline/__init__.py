"""The offline engine: everything on this machine, with no model to download.

It hears English by Sphinx, translates by whatever Apertium pairs are installed, and speaks by eSpeak NG.
"""

from __future__ import annotations

from model_worker.engines.offline.apertium import Apertium
from model_worker.engines.offline.espeak import Espeak
from model_worker.engines.offline.sphinx import Sphinx
from speechmill.abilities import Engine
from speechmill.settings import Settings

NAME = "offline"

LICENCES = (
    "PocketSphinx and its English model: BSD-2-Clause",
    "Apertium and its language data: GPL-2.0-or-later (separate programs)",
    "eSpeak NG: GPL-3.0-or-later (separate program)",
)


def engine(settings: Settings) -> Engine:  # noqa: ARG001
    """Nothing is loaded or run until an ability is used."""
    return Engine(NAME, "offline-1", Sphinx(), Apertium(), Espeak(NAME), licences=LICENCES)
