"""Where MiMo-Audio's weights are, whether they are whole, and what to do where they are not."""

from __future__ import annotations

import importlib.util
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from model_worker.mimo.config import CodecConfig, LmConfig
from model_worker.mimo.errors import CheckpointError, ConfigError
from model_worker.mimo.files import digest
from speechmill.errors import MissingTool, MissingWeights
from speechmill.settings import Settings

NAME = "mimo"
LIBRARIES = ("torch", "safetensors", "tokenizers")


@dataclass(frozen=True, slots=True)
class Repository:
    """One official folder."""

    name: str
    setting: str
    size_gb: int  # to download

    @property
    def download(self) -> str:
        return f"`hf download {self.name} --local-dir FOLDER` ({self.size_gb} GB), {self.setting}=FOLDER"


INSTRUCT = Repository("XiaomiMiMo/MiMo-Audio-7B-Instruct", "SPEECHMILL_MIMO_MODEL_DIR", 16)
BASE = Repository("XiaomiMiMo/MiMo-Audio-7B-Base", "SPEECHMILL_MIMO_BASE_DIR", 16)
TOKENIZER = Repository("XiaomiMiMo/MiMo-Audio-Tokenizer", "SPEECHMILL_MIMO_TOKENIZER_DIR", 5)


@dataclass(frozen=True)
class Weights:
    """The folders that the settings name."""

    folders: dict[Repository, Path | None]

    @classmethod
    def of(cls, settings: Settings) -> Weights:
        return cls(
            {
                INSTRUCT: settings.mimo_model_dir,
                BASE: settings.mimo_base_dir,
                TOKENIZER: settings.mimo_tokenizer_dir,
            }
        )

    def check(self) -> None:
        """Raises ``MissingTool`` or ``MissingWeights`` where MiMo-Audio cannot run on this machine."""
        _ = self.digest

    @cached_property
    def digest(self) -> str:
        """Names the weights that every ability needs; the files were found whole."""
        absent = [library for library in LIBRARIES if importlib.util.find_spec(library) is None]
        if absent:
            raise MissingTool(
                f"MiMo-Audio needs the Python package {', '.join(absent)}",
                hint="in Speechmill's folder: pip install '.[mimo]'",
            )
        digests = self._digest(INSTRUCT, TOKENIZER)
        try:  # folders that were mixed up are whole, too
            LmConfig.read(self.folder(INSTRUCT))
            CodecConfig.read(self.folder(TOKENIZER))
        except ConfigError as error:
            raise MissingWeights(str(error), hint=f"{error.hint}; see which folder each setting names") from None
        return digests

    @cached_property
    def base_digest(self) -> str:
        """Names the base model's weights, which a recorded voice needs besides."""
        return self._digest(BASE)

    @property
    def digests(self) -> dict[str, str]:
        """The digest of each repository's folder, as far as they are there."""
        named = dict(zip((INSTRUCT.name, TOKENIZER.name), self.digest.split("-"), strict=True))
        with suppress(MissingWeights):
            named[BASE.name] = self.base_digest
        return named

    def folder(self, repository: Repository) -> Path:
        folder = self.folders[repository]
        if folder is None or not folder.is_dir():
            raise self._missing([repository])
        return folder

    def _digest(self, *repositories: Repository) -> str:
        missing = [one for one in repositories if (folder := self.folders[one]) is None or not folder.is_dir()]
        if missing:
            raise self._missing(missing)
        try:
            return "-".join(digest(self.folder(one))[:16] for one in repositories)
        except CheckpointError as error:
            raise MissingWeights(str(error), hint=error.hint) from None

    def _missing(self, repositories: list[Repository]) -> MissingWeights:
        named = [
            f"{one.setting} names {folder}, which is no folder" if (folder := self.folders[one]) else
            f"{one.setting} is not set"
            for one in repositories
        ]  # fmt: skip
        return MissingWeights(
            f"MiMo-Audio's weights are not there: {', and '.join(named)}",
            hint="get them: " + "; ".join(one.download for one in repositories),
        )
