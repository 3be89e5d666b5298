"""Scripts as files: ``script.json``, as it was left or as a person wrote it, repaired where that is safe."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from speechmill.episodes import EpisodeScript, LineKind, ScriptLine, ScriptSpeaker, Writing
from speechmill.errors import UnreadableScript
from speechmill.languages import usual_characters_per_s
from speechmill.reports import Repair
from speechmill.roots import Roots
from tasks.disclosing import phrase
from tasks.documents.blocks import excerpt
from tasks.scriptwriting.drafting import line_id, not_said
from tasks.scriptwriting.length import Draft, episode_s, words
from tasks.text.lexicons import Lexicon
from tasks.text.spoken import directions, spoken_form, without_tags
from tasks.text.texts import read_text

FIELDS = frozenset(EpisodeScript.model_fields) - {"writing"}
LINE_FIELDS = frozenset(ScriptLine.model_fields)
SPEAKER_FIELDS = frozenset(ScriptSpeaker.model_fields)
MOST_STYLE = 200  # characters
LIKE = 0.75  # how alike two names must be for one to be a slip of the other


def is_script(path: Path) -> bool:
    """Whether a source is a script rather than a document: JSON, by its name."""
    return path.suffix.lower() == ".json"


def read_script(
    path: Path,
    *,
    language: str | None = None,
    pace: Callable[[str], float] = usual_characters_per_s,
    lexicon: Lexicon | None = None,
    within: Roots | None = None,
) -> EpisodeScript:
    """A script as it stands in a file. Spoken forms are worked out for lines that have none.

    Unknown fields, missing or doubled ids and names in other capitals are repaired and told in ``writing.repairs``.
    Raises ``UnreadableScript`` for what is no script, and for speakers and values that only its author can mend, and
    ``ForbiddenSource`` for what does not lie under the roots ``within``.
    """
    name = path.name
    try:
        given = json.loads(read_text(path, within=within))
    except (json.JSONDecodeError, RecursionError) as error:
        where = f" at line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise UnreadableScript(f"{name} is no JSON{where}", hint="mend it, or give the document again") from None
    if not isinstance(given, dict) or not isinstance(given.get("lines"), list) or not given["lines"]:
        raise UnreadableScript(f"{name} has no lines", hint='a script has {"title", "language", "speakers", "lines"}')
    repairs: list[Repair] = []
    mended = _mended(given, path, language, repairs)
    try:
        script = EpisodeScript.model_validate(mended)
    except ValidationError as error:
        raise UnreadableScript(f"{name}: {_told(error, mended)}", hint="mend it and run again") from None
    return _complete(script, tuple(repairs), pace, lexicon)


def script_json(script: EpisodeScript, lexicon: Lexicon | None = None) -> str:
    """``script.json`` as it is left for a person: spoken forms only where they are not what follows from the text, so
    that an edited text is said as it was edited. The usual disclosure is not in it: the next run says it again where it
    is wanted.
    """
    terms = lexicon or Lexicon()

    def kept(line: ScriptLine) -> ScriptLine:
        language = line.language or script.language
        derived = spoken_form(line.text, language, terms.of(language))
        return line.model_copy(update={"spoken": ""}) if line.spoken == derived else line

    usual = phrase(script.language)
    lines = tuple(kept(line) for line in script.lines if line.kind is not LineKind.DISCLOSURE or line.text != usual)
    return script.model_copy(update={"lines": lines}).to_json()


def _mended(given: dict[str, Any], path: Path, language: str | None, repairs: list[Repair]) -> dict[str, Any]:
    def tell(what: str, id: str = "") -> None:
        repairs.append(Repair(line_id=id, what=what))

    body = _known(given, FIELDS | {"writing"}, "the script", tell)
    body.pop("writing", None)
    if not body.get("title"):
        body["title"] = path.stem
        tell(f"The script has no title; it is called “{path.stem}”.")
    if not body.get("language"):
        body["language"] = language or "en"
        tell(f"The script does not say its language; {body['language']} was taken.")
    lines = [_line(entry, number, path.name, tell) for number, entry in enumerate(body["lines"], 1)]
    kept = [line for line in lines if str(line.get("text", "")).strip()]
    if (without := len(lines) - len(kept)) > 0:
        tell("1 line without text was left out." if without == 1 else f"{without} lines without text were left out.")
    body["lines"] = kept
    body["speakers"] = _speakers(body.get("speakers"), kept, path, tell)
    _number(kept, tell)
    return body


def _known(given: dict[str, Any], fields: frozenset[str], where: str, tell: Any) -> dict[str, Any]:
    for field in given.keys() - fields:
        like = difflib.get_close_matches(str(field), fields - given.keys(), 1, LIKE)
        meant = f" (did you mean “{like[0]}”?)" if like else ""
        tell(f"The field “{str(field)[:40]}” of {where} is not known and was left out{meant}.")
    return {field: value for field, value in given.items() if field in fields}


def _line(entry: Any, number: int, name: str, tell: Any) -> dict[str, Any]:
    if not isinstance(entry, dict):
        raise UnreadableScript(f"line {number} of {name} is no line", hint='a line has {"id", "speaker", "text"}')
    line = _known(entry, LINE_FIELDS, f"line {number}", tell)
    if isinstance(line.get("id"), int):
        line["id"] = str(line["id"])
    if isinstance(line.get("text"), str):
        plain = without_tags(line["text"])
        if plain != " ".join(line["text"].split()):
            tell(f"The text of line {number} is “{excerpt(plain)}” now, without its tags: they are not said.")
        line["text"] = plain
    return {field: value for field, value in line.items() if value is not None}


def _speakers(given: Any, lines: list[dict[str, Any]], path: Path, tell: Any) -> dict[str, Any]:
    name = path.name
    named = list(dict.fromkeys(line["speaker"] for line in lines if isinstance(line.get("speaker"), str)))
    if given is None or given == {}:
        tell("The script lists no speakers; they were taken from its lines.")
        return {speaker: {} for speaker in named}
    if isinstance(given, list) and all(isinstance(speaker, str) for speaker in given):
        given = {speaker: {} for speaker in given}
    if not isinstance(given, dict):
        raise UnreadableScript(f"the speakers of {name} are no list of names", hint='write {"HOST": {}, "GUEST": {}}')
    found: dict[str, Any] = {}
    for speaker, about in given.items():
        entry = {"name": about} if isinstance(about, str) else (about or {})
        if not isinstance(entry, dict):
            raise UnreadableScript(f"speaker {speaker} of {name} is wrong", hint='write {"HOST": {"name": "Ana"}}')
        found[speaker] = _known(entry, SPEAKER_FIELDS, f"speaker {speaker}", tell)
        if isinstance(found[speaker].get("reference"), str):
            found[speaker]["reference"] = str((path.parent / found[speaker]["reference"]).absolute())
    folded = {speaker.casefold(): speaker for speaker in found}
    for line in lines:
        said = line.get("speaker")
        if not isinstance(said, str) or said in found:
            continue
        if said.strip().casefold() in folded:
            line["speaker"] = folded[said.strip().casefold()]
            tell(f"The speaker “{said}” is written {line['speaker']} in the list.", str(line.get("id", "")))
            continue
        like = difflib.get_close_matches(said, found, 1, LIKE)
        raise UnreadableScript(
            f"the speaker “{said[:64]}” of line {line.get('id', lines.index(line) + 1)} is not in the list of {name}",
            hint=f"did you mean {like[0]}?" if like else f"those there are: {', '.join(found)}",
        )
    return found


def _number(lines: list[dict[str, Any]], tell: Any) -> None:
    """Ids for lines that have none, and others for those that have one twice."""
    taken: set[str] = set()
    for number, line in enumerate(lines, 1):
        id = line.get("id")
        if isinstance(id, str) and id and id not in taken:
            taken.add(id)
            continue
        free = line_id(number, len(lines))
        while free in taken or any(other.get("id") == free for other in lines):
            free += "x"
        what = "Two lines have the id" if id else "Line has no id:"
        tell(f"{what} {id}; the second is {free} now." if id else f"Line {number} has no id; it is {free} now.", free)
        line["id"] = free
        taken.add(free)


def _told(error: ValidationError, body: dict[str, Any]) -> str:
    first = error.errors()[0]
    where = [str(part) for part in first["loc"]]
    if len(where) > 1 and where[0] == "lines" and where[1].isdecimal():
        where[1] = str(body["lines"][int(where[1])].get("id", where[1]))
        where[0] = "line"
    return f"{' '.join(where)}: {first['msg'].removeprefix('Value error, ')}" if where else str(first["msg"])


def _complete(
    script: EpisodeScript,
    repairs: tuple[Repair, ...],
    pace: Callable[[str], float],
    lexicon: Lexicon | None,
) -> EpisodeScript:
    terms = lexicon or Lexicon()
    lines = []
    told = list(repairs)
    for line in script.lines:
        language = line.language or script.language
        said = line.spoken or spoken_form(line.text, language, terms.of(language))
        found = [] if line.spoken else directions(line.text, language)
        style = line.style or ", ".join(direction[1:-1] for direction in found)[:MOST_STYLE]
        if found:
            told.append(Repair(line_id=line.id, what=not_said(found)))
        if found and not said:
            continue
        lines.append(line.model_copy(update={"spoken": "" if said == line.text else said, "style": style}))
    if not lines:
        raise UnreadableScript("nothing in the script is said", hint="write what the speakers say into its lines")
    drafts = [Draft(li.speaker, li.said, None, li.chapter, "", li.pace, li.gap_ms, li.kind) for li in lines]
    counts = dict.fromkeys(script.speakers, 0)
    for line in lines:
        counts[line.speaker] += words(line.text, script.language)
    total = sum(counts.values())
    writing = Writing(
        writer="a person",
        minutes=round(episode_s(drafts, pace(script.language)) / 60, 2),
        words=total,
        share={speaker: round(n / max(1, total), 3) for speaker, n in counts.items()},
        repairs=tuple(told),
    )
    return script.model_copy(update={"lines": tuple(lines), "writing": writing})
