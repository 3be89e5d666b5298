"""What the settings need, examined one by one: each finding is one line, with the mend."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from speechmill import programs
from speechmill.errors import SpeechmillError
from speechmill.settings import Settings, settings

FFMPEG_FLOOR = (5, 1)  # the oldest that our argument lists were run with
FREE_FLOOR_BYTES = 5 * 2**30  # an hour of stereo takes about 4 GiB while it is made


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was examined."""

    what: str
    well: bool
    found: str
    mend: str = ""

    def line(self) -> str:
        return f"{'ok  ' if self.well else 'FAIL'}  {self.what:<12} {self.found}" + (
            f"; {self.mend}" if self.mend and not self.well else ""
        )

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def examine() -> list[Finding]:
    """Examine everything that the settings need; never raises for what is merely not there."""
    chosen = settings()
    checks: list[tuple[str, Callable[[Settings], str]]] = [
        ("python", _python),
        ("ffmpeg", _ffmpeg),
        ("home", _home),
        ("database", _database),
        ("objects", _objects),
        ("engine", _engine),
        ("prefect", _prefect),
    ]
    return [_examined(what, check, chosen) for what, check in checks]


def _examined(what: str, check: Callable[[Settings], str], chosen: Settings) -> Finding:
    try:
        return Finding(what, True, check(chosen))
    except SpeechmillError as error:
        return Finding(what, False, error.message, error.hint)
    except Exception as error:  # a service may fail in any way; the examination goes on
        return Finding(
            what,
            False,
            " ".join(str(error).split()) or type(error).__name__,
            "mend what the message names, and run `speechmill doctor` again",
        )


def _python(_: Settings) -> str:
    return f"Python {sys.version.split()[0]}"


def _ffmpeg(_: Settings) -> str:
    words = programs.run(["ffmpeg", "-version"]).stdout.decode().split()
    version = words[2]
    numbers = tuple(int(part) for part in version.split("-")[0].split(".")[:2] if part.isdigit())
    if numbers and numbers < FFMPEG_FLOOR:
        raise SpeechmillError(f"ffmpeg {version} is too old", hint="install 5.1 or later")
    programs.find("ffprobe")
    return f"ffmpeg {version}"


def _home(chosen: Settings) -> str:
    chosen.home.mkdir(parents=True, exist_ok=True)
    probe = chosen.home / ".doctor"
    probe.write_text("")
    probe.unlink()
    free = shutil.disk_usage(chosen.home).free
    if free < FREE_FLOOR_BYTES:
        raise SpeechmillError(f"only {free / 2**30:.1f} GiB are free in {chosen.home}", hint="free some space")
    return f"{chosen.home}, {free / 2**30:.0f} GiB free"


def _database(chosen: Settings) -> str:
    from tasks.workplace import open_catalog

    catalog = open_catalog(chosen)
    try:
        count = len(catalog.jobs(1000))
    finally:
        catalog.close()
    return f"{chosen.database_url.split('@')[-1]}, {count} jobs"


def _objects(chosen: Settings) -> str:
    from storage.objects import object_store

    object_store(chosen.objects_url)
    return chosen.objects_url


def _engine(chosen: Settings) -> str:
    from model_worker.engines.registry import engine

    found = engine(chosen.engine, chosen)
    abilities = []
    if found.transcribes:
        abilities.append(f"hears {', '.join(sorted(found.transcribes.languages)[:6])}")
    if found.translates:
        pairs = sorted(f"{a}→{b}" for a, b in found.translates.pairs)
        abilities.append(f"translates {', '.join(pairs[:6])}{' …' if len(pairs) > 6 else ''}")
    if found.speaks:
        abilities.append(f"speaks {len(found.speaks.languages)} languages")
    return f"{found.name} {found.version}: {'; '.join(abilities)}"


def _prefect(_: Settings) -> str:
    from importlib.metadata import version

    return f"prefect {version('prefect')}, fastapi {version('fastapi')}"
