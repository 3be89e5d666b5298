"""The text tokenizer of a model folder, and the ids of the special tokens, looked up by name."""

from __future__ import annotations

import json
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

from .errors import CheckpointError, PromptError

ENDOFTEXT, IM_END = "<|endoftext|>", "<|im_end|>"
SOSP, EOSP, EMPTY = "<|sosp|>", "<|eosp|>", "<|empty|>"
SOSTM, EOSTM, EOT = "<|sostm|>", "<|eostm|>", "<|eot|>"
# What the reference appends, in this order, where a vocabulary lacks it.
ADDED = (SOSP, EOSP, EMPTY, "<|Human|>", "<|SpeechLM|>", SOSTM, EOSTM, EOT)

# The published pre-tokenizer of the Qwen2 family: contractions, words, single digits, punctuation, white space.
QWEN2_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
LONGEST_TEXT = 200_000  # characters; no text this long fits the context, and tokenizing it would only cost time


class TextTokenizer:
    """Byte-level BPE of the Qwen2 family, from ``tokenizer.json`` or from ``vocab.json`` and ``merges.txt``."""

    def __init__(self, folder: Path) -> None:
        """Raises :class:`CheckpointError` naming the file that is missing or unreadable."""
        self._tokenizer = _read(folder)
        missing = [token for token in ADDED if self._tokenizer.token_to_id(token) is None]
        self._tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in missing])
        self.empty = self.id(EMPTY)
        self.largest = max(self._tokenizer.get_vocab(with_added_tokens=True).values())  # of all ids
        self.eos = self._eos(folder)

    def id(self, token: str) -> int:
        """The id of a special token; raises :class:`PromptError` when the vocabulary lacks it."""
        found = self._tokenizer.token_to_id(token)
        if found is None:
            raise PromptError(f"the text tokenizer has no token {token}", hint="use the tokenizer files of the model")
        return int(found)

    def encode(self, text: str) -> list[int]:
        """Ids of one piece of text: nothing inserted, special-token strings recognised."""
        if len(text) > LONGEST_TEXT:
            raise PromptError(f"a text of {len(text)} characters is too long for the model", hint="speak it in parts")
        try:
            return list(self._tokenizer.encode(text, add_special_tokens=False).ids)
        except (TypeError, UnicodeEncodeError) as error:
            raise PromptError("a text holds characters that are not Unicode (lone surrogates)") from error

    def decode(self, ids: list[int]) -> str:
        """Text of ids, special tokens kept; bytes that are no UTF-8 become U+FFFD."""
        return str(self._tokenizer.decode(ids, skip_special_tokens=False))

    def _eos(self, folder: Path) -> int:
        """The text tokenizer's own end token (not that of a model config, which may differ)."""
        try:
            named = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8")).get("eos_token")
        except (OSError, ValueError, AttributeError):
            named = None
        token = named.get("content") if isinstance(named, dict) else named
        try:
            return self.id(token if isinstance(token, str) else ENDOFTEXT)
        except PromptError as error:
            raise CheckpointError(folder / "tokenizer_config.json", str(error)) from error


def _read(folder: Path) -> Tokenizer:
    whole = folder / "tokenizer.json"
    try:
        if whole.is_file():
            return Tokenizer.from_file(str(whole))
        tokenizer = Tokenizer(models.BPE.from_file(str(folder / "vocab.json"), str(folder / "merges.txt")))
        added = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))["added_tokens_decoder"]
        entries = [(entry["content"], bool(entry["special"])) for _, entry in sorted(added.items(), key=_by_id)]
    except Exception as error:  # the library raises bare Exception for whatever it cannot read
        wanted = "tokenizer.json, or vocab.json, merges.txt and tokenizer_config.json"
        raise CheckpointError(folder, f"there is no readable text tokenizer ({wanted}): {error}") from error
    tokenizer.normalizer = normalizers.NFC()
    split = pre_tokenizers.Split(Regex(QWEN2_SPLIT), behavior="isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    for content, special in entries:
        token = AddedToken(content, normalized=False, special=special)
        (tokenizer.add_special_tokens if special else tokenizer.add_tokens)([token])
    return tokenizer


def _by_id(item: tuple[str, object]) -> int:
    return int(item[0])
