"""Linting a podcast feed: any feed, ours or not, against a table of rules with ids.

The rules are those of the Podcast Standards Project (PSP-1), Apple and the Podcasting 2.0 namespace. An error is what
an app or a directory refuses or misreads; a warning is what listeners would miss.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from lxml import etree

from tasks.episode import beside, rules, trees
from tasks.episode.rules import Feed, Found
from tasks.episode.trees import UnreadableFeed


class Severity(StrEnum):
    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with a feed."""

    rule: str
    severity: Severity
    message: str  # a sentence
    line: int | None = None  # in the file, from 1
    episode: str = ""  # the title of the item it is about

    def __str__(self) -> str:
        where = f"line {self.line}: " if self.line else ""
        which = f" [{self.episode}]" if self.episode else ""
        return f"{where}{self.severity} {self.rule}: {self.message}{which}"


@dataclass(frozen=True, slots=True)
class Rule:
    id: str
    severity: Severity
    check: Callable[[Feed], Iterable[Found]]


def lint_feed(path: Path) -> list[Finding]:
    """What is wrong with a feed, by line; empty where nothing is.

    A file that is no feed at all gives one finding. Files beside the feed that it names are looked at as well:
    the enclosure's bytes, the cover's size. Nothing is fetched. Raises ``UnreadableFeed`` only for a file that is not
    there.
    """
    if not path.is_file():
        raise UnreadableFeed(f"there is no file {path}", hint="name a feed, such as feed.xml")
    try:
        root = trees.read_tree(path).getroot()
    except UnreadableFeed as error:
        line = error.evidence.get("line")
        return [Finding("XML-01", Severity.ERROR, error.message, line if isinstance(line, int) else None)]
    channel = trees.child(root, "channel")
    if root.tag != "rss" or root.get("version") != "2.0" or channel is None:
        return [Finding("RSS-01", Severity.ERROR, "This is not RSS 2.0 with a channel.", root.sourceline)]
    feed = Feed(path, channel, tuple(trees.children(channel, "item")))
    return sorted(_found(feed), key=lambda f: (f.line or 0, f.rule))


def passes(findings: Iterable[Finding]) -> bool:
    """Whether there is no error among the findings."""
    return not any(finding.severity is Severity.ERROR for finding in findings)


def _found(feed: Feed) -> Iterator[Finding]:
    for rule in RULES:
        for element, message in rule.check(feed):
            yield Finding(rule.id, rule.severity, message, element.sourceline, _episode(element))


def _episode(element: etree._Element) -> str:
    item = next((e for e in (element, *element.iterancestors()) if trees.name(e) == "item"), None)
    return "" if item is None else trees.text(item, "title")


RULES = (
    *(Rule(id_, Severity.ERROR, check) for id_, check in (rules.ERRORS | beside.ERRORS).items()),
    *(Rule(id_, Severity.WARNING, check) for id_, check in rules.WARNINGS.items()),
)
