"""The shelf: what lies in a folder that deliveries go to, and whose each file is.

Several deliveries may lie side by side in one folder, as the films of a season do. Each owns its files, by a hidden
list that publishing keeps there. One takes the place of an earlier delivery of the same job, or of the same source into
the same languages or fewer. What others own, what is the user's, and what somebody has changed since it was delivered,
it does not touch.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from speechmill.errors import BadInput, Conflict
from speechmill.recipes import Digest, digest_of_bytes

MANIFEST = ".speechmill-delivery"
REPORT, PAGE = "report.json", "report.html"
CLOCK_NS = 2_000_000_000  # some file systems round times to two seconds
ELSEWHERE = "or name another folder with --out"


@dataclass(frozen=True, slots=True)
class Claim:
    """What a delivery is of, by which it claims its place in a folder."""

    job: str  # empty where the job is not there yet
    source: str
    targets: tuple[str, ...] = ()  # languages; none of an episode
    stem: str = ""  # what its report is called after, where another's is in the folder; empty: it is never another
    common: frozenset[str] = frozenset()  # names that all deliveries of the source have in common: its transcript
    grown: frozenset[str] = frozenset()  # names of what is gone on from, whoever has changed it

    @property
    def origin(self) -> Digest:
        return digest_of_bytes(self.source.encode())

    def replaces(self, job: str, source: str, targets: Collection[str]) -> bool:
        """Whether it takes the place of the delivery of a job, of the origin ``source`` into ``targets``."""
        return (source == self.origin and set(targets) <= set(self.targets)) or job == self.job != ""


class Delivered(BaseModel):
    """One delivery as the list has it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    job: str
    name: str  # of the source, for people
    source: Digest  # of where it is: the folder may go to somebody whom that does not concern
    targets: tuple[str, ...]
    report: str
    files: dict[str, tuple[int, int]]  # size in bytes and time of change in ns, by name

    @field_validator("files")
    @classmethod
    def _plain(cls, files: dict[str, tuple[int, int]]) -> dict[str, tuple[int, int]]:
        """A list that somebody has tampered with reaches nowhere else."""
        return {name: facts for name, facts in files.items() if name == Path(name).name}

    def is_as_delivered(self, folder: Path, name: str) -> bool:
        """Whether a file of it is there, and nobody has changed it."""
        if name not in self.files or not (folder / name).is_file():
            return False
        found, (size, changed_ns) = (folder / name).stat(), self.files[name]
        return found.st_size == size and abs(found.st_mtime_ns - changed_ns) <= CLOCK_NS

    def in_words(self) -> str:
        into = f" into {', '.join(self.targets)}" if self.targets else ""
        return f"job {self.job} ({self.name}{into})"


class Shelf(BaseModel):
    """The deliveries in one folder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    deliveries: tuple[Delivered, ...] = ()

    @classmethod
    def of(cls, folder: Path) -> Shelf:
        try:
            return cls.model_validate_json((folder / MANIFEST).read_bytes())
        except (OSError, ValidationError):
            return cls()

    def beside(self, claim: Claim) -> tuple[Delivered, ...]:
        """Those that stay when ``claim`` is delivered."""
        return tuple(each for each in self.deliveries if each not in self.replaced(claim))

    def replaced(self, claim: Claim) -> tuple[Delivered, ...]:
        return tuple(each for each in self.deliveries if claim.replaces(each.job, each.source, each.targets))

    def report_name(self, claim: Claim) -> str:
        """``report.json``, or ``talk.es.report.json`` beside another delivery."""
        taken = any(each.report == REPORT for each in self.beside(claim))
        return f"{claim.stem}.{REPORT}" if taken and claim.stem else REPORT

    def with_delivery(self, claim: Claim, folder: Path) -> Shelf:
        """The shelf once what is in ``folder`` is delivered."""
        files = {file.name: (file.stat().st_size, file.stat().st_mtime_ns) for file in sorted(folder.iterdir())}
        made = Delivered(
            job=claim.job,
            name=Path(claim.source).name,
            source=claim.origin,
            targets=claim.targets,
            report=self.report_name(claim),
            files=files,
        )
        return Shelf(deliveries=(*self.beside(claim), made))

    def raise_if_taken(self, folder: Path, claim: Claim, names: Iterable[str], read: Collection[Path] = ()) -> None:
        """Refuse names that ``claim`` may not write in ``folder``. ``read`` are the files that it is made from."""
        beside = self.beside(claim)
        sources = {path.resolve() for path in read}
        for name in names:
            path = folder / name
            if path.is_dir():
                raise BadInput(f"{path} is a folder", hint=f"move it, {ELSEWHERE}")
            if path.resolve() in sources:
                raise Conflict(f"{path} is read, and would be written over", hint=f"move it, {ELSEWHERE}")
            if not path.is_symlink() and not path.exists():
                continue
            owners = [each for each in self.deliveries if name in each.files]
            if not owners:
                raise Conflict(
                    f"{path} would be written over, and no delivery has put it there", hint=f"move it, {ELSEWHERE}"
                )
            for each in owners:
                if each in beside and not (each.source == claim.origin and name in claim.common):
                    raise Conflict(f"{path} was delivered by {each.in_words()}", hint="name another folder with --out")
            if name not in claim.grown and not any(each.is_as_delivered(folder, name) for each in owners):
                raise Conflict(
                    f"{path} was changed since it was delivered, and would be written over",
                    hint=f"rename it, {ELSEWHERE}",
                )

    def left_over(self, folder: Path, later: Shelf) -> list[str]:
        """Files in ``folder`` that no delivery of ``later`` has any more, less what somebody has changed."""
        kept = {name for each in later.deliveries for name in each.files}
        gone = [each for each in self.deliveries if each not in later.deliveries]
        return [name for each in gone for name in each.files if name not in kept and each.is_as_delivered(folder, name)]


def report_of(folder: Path, job: str) -> Path:
    """Where a job's report is in its folder; where it would be alone, as long as nothing is delivered."""
    mine = [each.report for each in Shelf.of(folder).deliveries if each.job == job and each.report in each.files]
    return folder / (mine[-1] if mine else REPORT)


def page_of(report: str) -> str:
    """The name of the page beside ``report.json``."""
    return report.removesuffix(REPORT) + PAGE
