"""One run of the soak: films arrive in a bucket while everything that serves them is struck at random, in the order
that a seed gives; and what must be so afterwards."""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.soak.stand import Stand

HELD = "SELECT job_id FROM runs WHERE owner IS NOT NULL AND lease_until_s > extract(epoch FROM clock_timestamp())"
"""A hold of somebody who was killed runs out."""


@dataclass
class Dropped:
    """What was dropped, by key: the films that must be delivered, and the files that must be refused."""

    films: dict[str, int] = field(default_factory=dict)  # lines of each
    refused: list[str] = field(default_factory=list)


class Soak:
    """One run: arrivals and blows, in the order that the seed gives."""

    def __init__(self, stand: Stand, film: Path, seed: int) -> None:
        self.stand, self.film, self.chance = stand, film, random.Random(seed)
        self.dropped, self.blows = Dropped(), Counter[str]()
        self.began = time.monotonic()

    def run(self, seconds: float) -> None:
        blows = self.stand.blows(self.chance)
        until, film_at, blow_at = self.began + seconds, self.began, self.began + 10
        while (now := time.monotonic()) < until:
            if now >= film_at:
                self.arrive()
                film_at = now + self.chance.uniform(*self.stand.arrival_s)
            if now >= blow_at:
                self.strike(blows)
                blow_at = time.monotonic() + self.chance.uniform(*self.stand.blow_s)
            self.stand.revive()
            time.sleep(0.2)

    def arrive(self) -> None:
        """Drop a film of which every byte is new, with its script and its sidecar; now and then something bad."""
        number = len(self.dropped.films) + len(self.dropped.refused)
        name = f"film{number:03}"
        kind = self.chance.choice(["film"] * 6 + ["rubbish", "unknown field"])
        film, script = self.variant(number)
        sidecar: dict[str, Any] = {"targets": ["es"], "script": f"{name}.en.srt"}
        if kind == "rubbish":
            film = self.chance.randbytes(50_000)
        if kind == "unknown field":
            sidecar["colour"] = "blue"
        self.say(f"dropped {name} ({kind})")
        put = self.stand.put
        put(f"in/{name}.en.srt", script.encode())
        put(f"in/{name}.job.json", json.dumps(sidecar).encode())
        put(f"in/{name}.mp4", film)
        if self.chance.random() < 0.2:
            put(f"in/{name}.mp4", film)  # the same once more is the same
        if kind == "film":
            self.dropped.films[f"in/{name}.mp4"] = script.count("-->")
        else:
            self.dropped.refused.append(f"in/{name}.mp4")

    def variant(self, number: int) -> tuple[bytes, str]:
        """A film with a title of its own, and a script of its own: nothing of it was made before."""
        made = self.stand.folder / "variant.mp4"
        subprocess.run(
            ["ffmpeg", "-v", "error", "-nostdin", "-y", "-i", self.film, "-map", "0", "-c", "copy",
             "-metadata", f"title=Film {number}", made],
            check=True,
        )  # fmt: skip
        cues = []
        for line in range(self.chance.randint(3, 8)):
            words = " ".join(self.chance.choices(["river", "nine", "ticket", "house", "bread", "morning"], k=4))
            cues.append(f"{line + 1}\n00:00:{line + 1:02},000 --> 00:00:{line + 1:02},900\n{words} {number}.\n")
        return made.read_bytes(), "\n".join(cues)

    def strike(self, blows: Mapping[str, Callable[[], object]]) -> None:
        name = self.chance.choice(sorted(blows))
        self.blows[name] += 1
        self.say(name)
        blows[name]()

    def say(self, sentence: str) -> None:
        sys.stderr.write(f"{time.monotonic() - self.began:6.1f} s  {sentence}\n")

    def settled(self) -> bool:
        """Wait until nothing is to come any more."""
        until = time.monotonic() + self.stand.settle_s
        while time.monotonic() < until:
            self.stand.revive()
            if self.stand.settled() and not self.stand.rows(HELD):
                return True
            time.sleep(1)
        return False

    def troubles(self) -> list[str]:
        """What is not as it must be when everything has settled."""
        found = check_published(self.stand, self.dropped) + check_facts(self.stand, self.dropped)
        return found + check_scratch(self.stand) + self.stand.troubles()


def check_published(stand: Stand, dropped: Dropped) -> list[str]:
    """Every film has one delivery that is whole; every bad file its reason; nothing else is there."""
    troubles, markers = [], [key for key in stand.keys("done/") if key.endswith("/delivery.json")]
    deliveries: dict[str, list[str]] = {}
    belonging: set[str] = set()
    for marker in markers:
        facts, folder = json.loads(stand.get(marker)), marker.rpartition("/")[0]
        deliveries.setdefault(facts["key"], []).append(folder)
        belonging.add(marker)
        for name, said in facts["files"].items():
            key = f"{folder}/{name}"
            belonging.add(key)
            if hashlib.sha256(stand.get(key)).hexdigest() != said["sha256"]:
                troubles.append(f"{key} is not what its marker says")
        report = json.loads(stand.get(f"{folder}/report.json"))
        lines = report["targets"]["es"]["lines"]
        if len(lines) != dropped.films.get(facts["key"]):
            troubles.append(f"{facts['key']} has {len(lines)} lines, not {dropped.films.get(facts['key'])}")
        troubles += [f"{facts['key']}: {line['id']} {line['verdict']}" for line in lines if line["verdict"] == "failed"]
    for key in dropped.films:
        if len(deliveries.get(key, [])) != 1:
            troubles.append(f"{key} was delivered {len(deliveries.get(key, []))} times: {deliveries.get(key)}")
    reasons = [json.loads(stand.get(key)) for key in stand.keys("quarantine/") if key.endswith("/reason.json")]
    if sorted(reason["key"] for reason in reasons) != sorted(dropped.refused):
        troubles.append(f"refused: {sorted(reason['key'] for reason in reasons)}, not {sorted(dropped.refused)}")
    troubles += [f"{key} belongs to no delivery" for key in stand.keys("done/") if not _known(key, belonging)]
    return troubles


def _known(key: str, belonging: set[str]) -> bool:
    return key in belonging or "/source/" in key


def check_facts(stand: Stand, dropped: Dropped) -> list[str]:
    """By SQL: a job for each film and no more, all of them ended, nobody at work, each line one take in its result."""
    troubles = []
    jobs = stand.rows("SELECT state, count(*) FROM jobs GROUP BY state")
    ended = sum(count for state, count in jobs if state in ("completed", "completed_with_review"))
    if ended != len(dropped.films):
        troubles.append(f"{ended} jobs are completed, of {len(dropped.films)} films: {dict(map(tuple, jobs))}")
    for what, query in (
        ("jobs not ended", "SELECT id FROM jobs WHERE state IN ('queued', 'running')"),
        ("orders open", "SELECT job_id, item FROM orders WHERE state IN ('ordered', 'leased')"),
        ("drops not settled", "SELECT key, state FROM drops WHERE state NOT IN ('done', 'quarantined', 'gone')"),
        ("errands open", "SELECT job_id FROM outbox WHERE handed_at_s IS NULL"),
        ("jobs held", HELD),
        ("drops twice", "SELECT key FROM drops GROUP BY key, etag HAVING count(*) > 1"),
        (
            "lines without a take",
            "SELECT l.job_id, l.line_id FROM lines l JOIN jobs j ON j.id = l.job_id AND l.language = 'es' "
            "LEFT JOIN takes t ON t.job_id = l.job_id AND t.language = l.language AND t.line_id = l.line_id "
            "WHERE t.line_id IS NULL AND j.state LIKE 'completed%'",
        ),
    ):
        found = stand.rows(query)
        if found:
            troubles.append(f"{what}: {found[:5]}")
    return troubles


def check_scratch(stand: Stand) -> list[str]:
    """Whoever starts next finds no half-made things: what the dead have left is swept, and the living left nothing."""
    left = []
    for home in stand.homes():
        subprocess.run([sys.executable, "-m", "flows.cli", "gc", "--json"], env=stand.environment(home), check=True,
                       stdout=subprocess.DEVNULL)  # fmt: skip
        left += [str(path) for path in (home / "scratch").rglob("*") if path.is_file()]
    return [f"left in scratch: {left[:5]}"] if left else []
