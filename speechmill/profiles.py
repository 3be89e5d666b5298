"""Profiles: what a delivery must measure. They are data (``profiles/*.toml``), not code."""

from __future__ import annotations

import tomllib
from difflib import get_close_matches
from functools import cache
from importlib import resources
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from speechmill.errors import BadInput, UnknownName


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Loudness(_Part):
    """Of the encoded file, by ITU-R BS.1770-4; ``source`` names the document the numbers come from."""

    integrated_lufs: float
    mono_integrated_lufs: float | None = None  # where a mono programme has a target of its own
    tolerance_lu: float = 0.5
    true_peak_dbtp: float
    dialogue_gated: bool = False  # measured over speech only
    lra_max_lu: float | None = None
    source: str = ""

    def target_lufs(self, channels: int) -> float:
        if channels == 1 and self.mono_integrated_lufs is not None:
            return self.mono_integrated_lufs
        return self.integrated_lufs


class Stretch(_Part):
    """How much faster than it was spoken a take may be played."""

    free: float = 1.10  # nobody hears it
    marked: float = 1.20  # heard by some: allowed
    most: float = 1.35  # never faster; between ``marked`` and this a person should look
    slowest: float = 0.90


class Timing(_Part):
    guard_ms: int = 50  # below this two voices seem to speak at once
    onset_tolerance_ms: int = 120  # ITU-R BT.1359: detectable from about 125 ms late
    early_ms: int = 80  # a line that would not fit may begin this much early, into silence


class Subtitles(_Part):
    """Limits of one subtitle; characters per line by script."""

    min_s: float = 0.833
    max_s: float = 7.0
    gap_ms: int = 83  # two frames at 24 fps
    lines: int = 2
    characters: int = 42
    characters_cjk: int = 16
    characters_per_s: float = 17.0
    characters_per_s_cjk: float = 9.0


class Encoding(_Part):
    codec: str = "aac"
    bitrate_kbps_per_channel: int = 96
    codec_margin_db: float = 1.0  # what lossy coding may add to a peak


class Profile(_Part):
    """What a delivery must measure."""

    name: str
    description: str = ""
    loudness: Loudness
    stretch: Stretch = Field(default_factory=Stretch)
    timing: Timing = Field(default_factory=Timing)
    subtitles: Subtitles = Field(default_factory=Subtitles)
    encoding: Encoding = Field(default_factory=Encoding)


def is_file(name: str) -> bool:
    """Whether a profile is called by its file, and not by its name."""
    return name.endswith(".toml")


def names() -> tuple[str, ...]:
    """Profiles that come with the house."""
    files = resources.files("speechmill").joinpath("profiles").iterdir()
    return tuple(sorted(Path(f.name).stem for f in files if f.name.endswith(".toml")))


def profile(name: str) -> Profile:
    """A profile by its name, or from a user's own ``.toml`` file."""
    if name in names():
        return _of_the_house(name)
    if not is_file(name) or not Path(name).is_file():
        raise UnknownName(
            f"there is no profile “{name}”", hint=f"choose one of {', '.join(names())}, or name a .toml file"
        )
    try:
        return Profile.model_validate({"name": Path(name).stem, **tomllib.loads(Path(name).read_text("utf-8"))})
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"the profile {name} is not TOML: {error}", hint="correct the file") from None
    except ValidationError as error:
        raise _mistaken(name, error) from None


@cache
def _of_the_house(name: str) -> Profile:
    text = resources.files("speechmill").joinpath("profiles", f"{name}.toml").read_text("utf-8")
    return Profile.model_validate(tomllib.loads(text))


def _mistaken(file: str, error: ValidationError) -> BadInput:
    """What is wrong in a profile: first names that there are not, since what is missing is missing for their sake."""
    found = sorted(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
    where = [str(part) for part in found[0]["loc"]]
    if found[0]["type"] == "extra_forbidden":
        part = Profile.model_fields[where[0]].annotation if len(where) > 1 else Profile
        known = list(part.model_fields) if isinstance(part, type) and issubclass(part, BaseModel) else []
        meant = get_close_matches(where[-1], known, 1) or known
        return BadInput(
            f"the profile {file} has “{'.'.join(where)}”, which is no part of one",
            hint=f"there is {', '.join(meant)}; see docs/profiles.md",
        )
    said = "is missing" if found[0]["type"] == "missing" else f"is wrong: {found[0]['msg'].lower()}"
    return BadInput(f"in the profile {file} {'.'.join(where)} {said}", hint="correct it; see docs/profiles.md")
