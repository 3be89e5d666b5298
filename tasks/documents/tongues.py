"""Which language a text is in, by its script and its commonest words, for documents that do not say."""

from __future__ import annotations

import re
from collections import Counter

# The commonest words of running text that few of the other languages share; by general knowledge of each language.
COMMON = {
    "en": "the of and to is that it was for with as his they be at this have from or had by but what were",
    "es": "el los las que y del se por con una su para al lo como más pero sus le ha este sí porque está",
    "fr": "le les des est et que dans qui une du pour pas sur au plus avec ce il sont mais cette ou nous",
    "de": "der die und das ist nicht ein zu den mit von sich des auf für im dem auch es eine wird sind war",
    "it": "il di che è la per un non sono con del si da le della ma anche più gli questo nel alla una",
    "pt": "o os que do da em um não para uma com as dos mais foi ao ele das tem à seu sua ou é são",
    "nl": "de het een van en dat is niet op te zijn voor met die aan er ook als maar om bij nog wordt",
    "sv": "och att det som en på är av för med den till inte har de ett om men var sig jag från",
    "pl": "i w nie na się że z jest do to jak o po od ale za przez co tym są dla ich był",
}
MARKS = {lang: frozenset(words.split()) for lang, words in COMMON.items()}
SCRIPTS = (
    ("ja", re.compile(r"[\u3041-\u30ff]"), 0.05),  # kana: a little is enough, kanji are shared with Chinese
    ("zh", re.compile(r"[\u4e00-\u9fff]"), 0.3),
    ("ko", re.compile(r"[\uac00-\ud7af]"), 0.3),
    ("ru", re.compile(r"[\u0400-\u04ff]"), 0.5),
    ("el", re.compile(r"[\u0370-\u03ff]"), 0.5),
    ("ar", re.compile(r"[\u0600-\u06ff]"), 0.5),
    ("he", re.compile(r"[\u0590-\u05ff]"), 0.5),
    ("hi", re.compile(r"[\u0900-\u097f]"), 0.5),
    ("th", re.compile(r"[\u0e00-\u0e7f]"), 0.5),
)
SAMPLE_CHARACTERS = 20_000
FEWEST_MARKS = 3


def script_language_of(text: str) -> str | None:
    """A language whose letters a text is written in, where few others share them."""
    sample = text[:SAMPLE_CHARACTERS]
    letters = sum(c.isalpha() for c in sample)
    found = ((language, len(script.findall(sample)), share) for language, script, share in SCRIPTS)
    return next((language for language, count, share in found if letters and count >= share * letters), None)


def language_of(text: str) -> str | None:
    """The language of a text as a BCP-47 tag; None where it cannot be told from so little."""
    written = script_language_of(text)
    if written is not None:
        return written
    sample = text[:SAMPLE_CHARACTERS]
    words = Counter(re.findall(r"[^\W\d_]+", sample.lower()))
    scores = {language: sum(words[word] for word in marks) for language, marks in MARKS.items()}
    best, second = sorted(scores, key=lambda language: -scores[language])[:2]
    return best if scores[best] >= FEWEST_MARKS and scores[best] > scores[second] else None
