"""The files of an official folder, looked at without loading them: are they whole, and which weights are they?

Nothing here needs torch: a machine can say what it would run, or what is missing, at once.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from .errors import CheckpointError

CONFIGS = ("config.json", "tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt")
SAMPLE_BYTES = 1 << 20  # of the data at both ends of a file: what a digest reads besides the header
LENGTH_BYTES = 8  # of the header's length, at the front of a safetensors file
MOST_HEADER_BYTES = 100 << 20  # the format's own limit


def weight_files(folder: Path) -> list[Path]:
    """``model.safetensors``, or the shards that its index names; raises :class:`CheckpointError` for a broken index."""
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        return [folder / "model.safetensors"]
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise CheckpointError(index, f"this is not an index of shards ({error!r})") from error
    for name in names:
        if not isinstance(name, str) or Path(name).name != name:
            raise CheckpointError(index, f"names a shard outside its folder: {name!r}")
    return [folder / name for name in names]


def digest(folder: Path) -> str:
    """A sha256 that names the model in a folder: its configs and text tokenizer, and of every weight file the size,
    the header (names, shapes and places of all tensors) and the first and last MiB of the data.

    Hashing all 16 GB would take half a minute at every start. Raises :class:`CheckpointError` for a file that is
    missing or not as long as its header says.
    """
    sha = hashlib.sha256()
    for path in (folder / name for name in CONFIGS):
        if path.is_file():
            sha.update(path.name.encode() + hashlib.sha256(path.read_bytes()).digest())
    for path in weight_files(folder):
        sha.update(path.name.encode() + _sample(path))
    return sha.hexdigest()


def _sample(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            prefix = file.read(LENGTH_BYTES)
            length = int.from_bytes(prefix, "little")
            header = file.read(min(length, MOST_HEADER_BYTES))
            data_bytes = _data_bytes(path, header, size - LENGTH_BYTES - length)
            sha = hashlib.sha256(size.to_bytes(8, "little") + header + file.read(SAMPLE_BYTES))
            file.seek(max(size - SAMPLE_BYTES, size - data_bytes))
            sha.update(file.read())
    except FileNotFoundError:
        raise CheckpointError(path, "there is no such file") from None
    except OSError as error:
        raise CheckpointError(path, f"cannot be read ({error})") from error
    return sha.digest()


def _data_bytes(path: Path, header: bytes, there: int) -> int:
    """Bytes of tensor data that the header tells of; they must be there, no less and no more."""
    try:
        tensors = json.loads(header)
        wanted = max((entry["data_offsets"][1] for name, entry in tensors.items() if name != "__metadata__"), default=0)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise CheckpointError(path, "this is not a whole safetensors file (its header cannot be read)") from error
    if wanted != there:
        what = f"its header tells of {wanted} bytes of tensors, {max(there, 0)} are there"
        raise CheckpointError(path, f"this is not a whole safetensors file ({what})")
    return int(wanted)
