"""Names of the files of a dub: all of them follow from its request, so they are known before any work."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from speechmill.requests import DubbingRequest
from tasks.media.shelf import Claim

MOST_STEM_BYTES = 120  # leaves room in a name of 255 bytes for ``.zh-Hant.dialogue.wav`` and a temporary ending
FORBIDDEN = re.compile(
    r'[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff<>:"/\\|?*]+'
)
"""What some file system, shell or screen does not take: Windows' reserved marks, control and direction characters."""
RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # devices, on Windows, with any ending
NAMELESS = "untitled"
SOUNDS = ("m4a", "flac", "dialogue.wav")
SUBTITLES = ("srt", "vtt")


@dataclass(frozen=True, slots=True)
class Names:
    """Names in the folder of a dub."""

    stem: str
    language: str  # of the source
    targets: tuple[str, ...]

    @classmethod
    def of_dubbing(cls, request: DubbingRequest) -> Names:
        return cls(safe_stem(Path(called(request.source))), request.language, request.targets)

    def of(self, language: str, ending: str) -> str:
        return f"{self.stem}.{language}.{ending}"

    @property
    def film(self) -> str:
        return film_name(self.stem, self.targets)

    @property
    def preview(self) -> str:
        """What the page of a long programme plays of its original."""
        return self.of(self.language, "preview.mp3")

    @property
    def of_the_original(self) -> frozenset[str]:
        """What is the same in whatever language the source is dubbed into."""
        return frozenset((self.preview, *(self.of(self.language, ending) for ending in SUBTITLES)))

    def all(self) -> frozenset[str]:
        """Every name but those of the report; more than there will be where the source has no picture."""
        dubs = (self.of(target, ending) for target in self.targets for ending in (*SOUNDS, *SUBTITLES))
        return self.of_the_original.union(dubs, [self.film])

    def claim(self, source: str, job: str = "") -> Claim:
        return Claim(job, source, self.targets, Path(self.film).stem, self.of_the_original)


def called(source: str) -> str:
    """What people call a source: the name of its file, wherever that is. An address has more behind its path."""
    parts = urlsplit(source) if source.startswith("https://") else None
    path = source if parts is None else unquote(parts.path)
    return path.rstrip("/").rpartition("/")[2] or (parts.hostname if parts else None) or source


def safe_stem(path: Path) -> str:
    """The source's name without its ending, as a name that every file system and shell takes.

    Never empty, one part of a path, at most 120 bytes, does not begin with a dot or dash; applying it twice changes
    nothing.
    """
    stem = FORBIDDEN.sub("_", unicodedata.normalize("NFC", path.stem))
    stem = re.sub(r"\s+", " ", stem).strip(" .").lstrip("-. ")
    stem = stem.encode()[:MOST_STEM_BYTES].decode(errors="ignore").rstrip(" .")
    if RESERVED.fullmatch(stem):
        stem = f"_{stem}"
    return stem or NAMELESS


def film_name(stem: str, targets: Sequence[str]) -> str:
    """``talk.es.mp4`` for one language, ``talk.dub.mp4`` for several."""
    return f"{stem}.{targets[0] if len(targets) == 1 else 'dub'}.mp4"
