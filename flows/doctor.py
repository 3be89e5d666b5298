"""What the settings need, examined one by one: each finding is one line, with the mend.

A warning is about something that works, and is less than it should be where files come from strangers.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from speechmill import programs
from speechmill.abilities import Engine
from speechmill.errors import MissingTool, SpeechmillError, Unavailable
from speechmill.logs import redacted
from speechmill.settings import Settings, settings
from storage.scratch import Scratch

FFMPEG_FLOOR = (5, 1)  # the oldest that our argument lists were run with
FFMPEG_SAFE = (8, 1, 3)
"""Mends CVE-2026-107697 (HLS playlists), CVE-2026-8461 (MagicYUV) and CVE-2026-40962 (mov); distributions that keep an
older number mend it by updates of their own."""
ANSWER_S = 5.0  # for a service that is there
PROBE = b"speechmill doctor"
FREE_FLOOR_BYTES = 5 * 2**30  # an hour of stereo takes about 4 GiB while it is made


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was examined."""

    what: str
    well: bool
    found: str
    mend: str = ""  # where all is well: what would be better

    def line(self) -> str:
        word = "FAIL" if not self.well else "warn" if self.mend else "ok"
        return f"{word:<4}  {self.what:<12} {self.found}" + (f"; {self.mend}" if self.mend else "")

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Warned:
    """Something that works, and what would be better."""

    found: str
    mend: str


Check = Callable[[Settings], str | Warned]


def examine(engine: str | None = None) -> list[Finding]:
    """Examine everything that the settings need, with another engine than theirs where one is named; never raises for
    what is merely not there."""
    chosen = settings()
    if engine is not None:
        chosen = chosen.model_copy(update={"engine": engine})
    checks: list[tuple[str, Check]] = [
        ("python", _python),
        ("ffmpeg", _ffmpeg),
        ("sandbox", _sandbox),
        ("home", _home),
        ("database", _database),
        ("objects", _objects),
        ("engine", _engine),
        ("prefect", _prefect),
    ]
    if chosen.engine == "mimo":
        checks.append(("gpu", _gpu))
    if chosen.broker_url:
        checks.append(("broker", _broker))
    return [_examined(what, check, chosen) for what, check in checks]


def _examined(what: str, check: Check, chosen: Settings) -> Finding:
    try:
        seen = check(chosen)
    except SpeechmillError as error:
        return Finding(what, False, redacted(error.message), redacted(error.hint))
    except Exception as error:  # a service may fail in any way; the examination goes on
        return Finding(
            what,
            False,
            redacted(" ".join(str(error).split())) or type(error).__name__,
            "mend what the message names, and run `speechmill doctor` again",
        )
    return Finding(what, True, seen.found, seen.mend) if isinstance(seen, Warned) else Finding(what, True, seen)


def _python(_: Settings) -> str:
    return f"Python {sys.version.split()[0]}"


def _ffmpeg(_: Settings) -> str | Warned:
    version = programs.run(["ffmpeg", "-version"]).stdout.decode().split()[2]
    numbers = tuple(int(part) for part in re.findall(r"\d+", version.split("-")[0])[:3])
    if version[:1].isdigit() and numbers < FFMPEG_FLOOR:
        raise SpeechmillError(f"ffmpeg {version} is too old", hint="install 5.1 or later")
    programs.find("ffprobe")
    if version[:1].isdigit() and numbers < FFMPEG_SAFE:
        return Warned(
            f"ffmpeg {version}",
            f"for films from strangers use {'.'.join(map(str, FFMPEG_SAFE))} or later, or see that your distribution's "
            "security updates are installed",
        )
    return f"ffmpeg {version}"


def _sandbox(_: Settings) -> str | Warned:
    programs.find("prlimit")  # by which all of them are started
    if not programs.without_network():
        return Warned(
            "external programs have the network of this machine, which refuses to take it from them",
            "run workers where nothing can be reached, as infra/compose.yaml does, or allow seccomp or user namespaces",
        )
    if os.geteuid() == 0:
        return Warned("external programs have no network, but the rights of root", "run as a user of its own")
    return "external programs have no network"


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
    return f"{redacted(chosen.database_url)}, {count} jobs"


def _objects(chosen: Settings) -> str:
    """A real object is written, read and removed again."""
    from storage.stores import object_store

    objects, key = object_store(chosen.objects_url, chosen), f"doctor/{uuid.uuid4().hex}"
    with Scratch(chosen.scratch).folder() as folder:
        probe, back = folder / "probe", folder / "back"
        probe.write_bytes(PROBE)
        first = objects.put_if_absent(key, probe)
        try:
            second = objects.put_if_absent(key, probe)
            objects.get_file(key, back)
        finally:
            objects.delete(key)
        if back.read_bytes() != PROBE:
            raise SpeechmillError(
                f"{chosen.objects_url} gives back other bytes than it was given", hint="use another server"
            )
    claims = "claims hold" if (first, second) == (True, False) else "claims do not hold (the catalog's do)"
    return f"{chosen.objects_url}: written, read and removed; {claims}"


def _engine(chosen: Settings) -> str:
    from model_worker.engines.registry import engine, engine_at_work

    here = engine(chosen.engine, chosen)
    try:
        return _able(here)
    except Unavailable:
        if not chosen.broker_url or (there := engine_at_work(chosen.engine, chosen)) is here:
            raise
        return f"{_able(there)}; not here, but where workers have announced it"


def _able(found: Engine) -> str:
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

    versions = f"prefect {version('prefect')}, fastapi {version('fastapi')}"
    server = os.environ.get("PREFECT_API_URL")
    if not server:
        return f"{versions}, with a server of its own"
    from tasks.documents.web import exchange

    reply = exchange("GET", f"{server.rstrip('/')}/health", most_bytes=10_000, deadline_s=ANSWER_S)
    if reply.status != 200:
        raise Unavailable(f"the Prefect server answered {reply.status}", hint="see its log, and PREFECT_API_URL")
    return f"{versions}, {redacted(server)}"


def _broker(chosen: Settings) -> str | Warned:
    from redis import Redis

    with Redis.from_url(chosen.broker_url, socket_timeout=ANSWER_S, socket_connect_timeout=ANSWER_S) as broker:
        facts: dict[str, Any] = broker.info()
    found = f"redis {facts['redis_version']}, {redacted(chosen.broker_url)}"
    if facts.get("maxmemory_policy", "noeviction") != "noeviction":
        return Warned(f"{found}, which throws away what it has no room for", "set maxmemory-policy noeviction")
    return found


def _gpu(_: Settings) -> str | Warned:
    try:
        ran = programs.run(["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"])
    except MissingTool:
        return Warned("no GPU here: MiMo-Audio would run on the processor, slowly", "run workers of gpu.mimo elsewhere")
    return "; ".join(ran.stdout.decode().strip().splitlines())
