"""What all abilities of this engine have: the models behind them, and what names their results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from model_worker.engines.mimo.service import LANGUAGES, Service


class Skill:
    """An ability by some of the model's tasks."""

    tasks: ClassVar[tuple[str, ...]]

    def __init__(self, service: Service) -> None:
        self._service = service

    @property
    def version(self) -> str:
        return self._service.version(*self.tasks)

    @property
    def means(self) -> Mapping[str, str]:
        return self._service.means(*self.tasks)

    @property
    def languages(self) -> frozenset[str]:
        self._service.check()
        return LANGUAGES

    @property
    def at_once(self) -> int:
        return self._service.at_once
