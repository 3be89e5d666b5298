"""Everything that a model folder and a tokenizer folder hold, loaded together and checked against each other."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import torch

from .codec import Codec
from .errors import CheckpointError, ConfigError
from .files import digest
from .lm import SpeechLm
from .prompts import PromptBuilder
from .text import TextTokenizer

DOWNLOADS = (
    "hf download XiaomiMiMo/MiMo-Audio-7B-Instruct (16 GB; few-shot conversion: XiaomiMiMo/MiMo-Audio-7B-Base), "
    "hf download XiaomiMiMo/MiMo-Audio-Tokenizer (about 5 GB), each with --local-dir FOLDER"
)


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """The language model, its text tokenizer and prompts, and the audio tokenizer, on one device."""

    lm: SpeechLm
    codec: Codec
    text: TextTokenizer
    prompts: PromptBuilder
    digest: str  # names the weights

    @classmethod
    def load(
        cls,
        model_folder: Path,
        tokenizer_folder: Path,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> Self:
        """Load both folders; raises ConfigError or CheckpointError naming the file, field or tensor."""
        for folder in (model_folder, tokenizer_folder):
            if not folder.is_dir():
                raise CheckpointError(folder, "there is no such folder", hint=DOWNLOADS)
        text = TextTokenizer(model_folder)
        lm = SpeechLm.load(model_folder, device, dtype)
        codec = Codec.load(tokenizer_folder, device, dtype)
        names = f"{digest(model_folder)[:32]}{digest(tokenizer_folder)[:32]}"
        model = cls(lm, codec, text, PromptBuilder(lm.config, text), names)
        model.check(model_folder, tokenizer_folder)
        return model

    def with_language_model(self, model_folder: Path) -> Self:
        """Another language model (the base model) beside the same audio tokenizer, which is held once."""
        text = TextTokenizer(model_folder)
        lm = SpeechLm.load(model_folder, self.lm.device, self.lm.dtype)
        names = f"{digest(model_folder)[:32]}{self.digest[32:]}"
        model = type(self)(lm, self.codec, text, PromptBuilder(lm.config, text), names)
        model.check(model_folder, model_folder)
        return model

    def check(self, model_folder: Path, tokenizer_folder: Path) -> None:
        """Raise :class:`ConfigError` where the two folders cannot belong together."""
        config, sizes = self.lm.config, self.codec.config.codebook_sizes
        fits = len(sizes) >= config.channels and all(
            size <= empty for size, empty in zip(sizes, config.speech_empty, strict=False)
        )
        if not fits:
            problem = f"is {list(sizes)}, which the {config.channels} channels of {model_folder} cannot hold"
            raise ConfigError(tokenizer_folder / "config.json", "codebook_size", problem)
        if self.text.largest >= config.vocab_size:
            problem = f"is {config.vocab_size}, but the text tokenizer has the id {self.text.largest}"
            raise ConfigError(model_folder / "config.json", "vocab_size", problem)
