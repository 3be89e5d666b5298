"""Languages: BCP-47 inside, ISO 639-2 where containers want it."""

from __future__ import annotations

import langcodes

from speechmill.errors import UnsupportedLanguage

UNSPACED = frozenset({"zh", "yue", "cmn", "wuu", "ja", "th", "lo", "km", "my"})
"""Languages written without spaces between words."""

HAN = frozenset({"Hans", "Hant", "Jpan", "Kore"})
"""Scripts that have Han characters."""

USUAL_CHARACTERS_PER_S = 14.5  # of read English and Spanish, spaces and marks counted: about 150 words a minute
SINITIC_CHARACTERS_PER_S = 4.5  # a character is a syllable: about 270 a minute, ordinary Mandarin
USUAL_OF_SCRIPT = {
    **dict.fromkeys(("zh", "yue", "cmn", "wuu"), SINITIC_CHARACTERS_PER_S),
    "ja": 5.0,  # kanji and kana together; announcers read 300 a minute
    "ko": 7.0,  # a syllable each, and the spaces
    **dict.fromkeys(("th", "lo", "km", "my"), 10.0),  # vowels and tones are characters too; eSpeak's own Thai: 9.9
}
"""Languages whose characters say more, or less, than letters do."""


def canonical(tag: str) -> str:
    """The canonical BCP-47 form of what a user wrote (``ES`` → ``es``, ``zh_tw`` → ``zh-TW``, ``deu`` → ``de``).

    Raises ``UnsupportedLanguage`` for a tag that names no language.
    """
    try:
        language = langcodes.get(tag.strip().replace("_", "-"))
    except ValueError:
        language = None
    if language is None or not language.is_valid() or language.language in (None, "und", "mul", "zxx"):
        raise UnsupportedLanguage(
            f"“{tag}” is not a language",
            hint="use a BCP-47 tag such as es, pt-BR or zh-Hant",
        )
    return language.to_tag()


def base(tag: str) -> str:
    """The language without script and region (``pt-BR`` → ``pt``)."""
    return langcodes.get(tag).language or "und"


def macro(tag: str) -> str:
    """The language that a language is counted to (``cmn`` and ``yue`` → ``zh``), without script and region."""
    return langcodes.get(tag).prefer_macrolanguage().language or "und"


def is_one(tag: str) -> bool:
    """Whether a tag means one language to everybody: ``mis`` is every one without a code, and ``qaa`` to ``qtz`` mean
    what those who use them agree upon, as broadcasters do who mark the original sound by ``qaa``."""
    known = base(tag)
    return known not in ("und", "mis") and not "qaa" <= known <= "qtz"


def name(tag: str) -> str:
    """In English (``es`` → ``Spanish``)."""
    return langcodes.get(tag).display_name("en")


def is_unspaced(tag: str) -> bool:
    """Whether a language is written without spaces between words."""
    return base(tag) in UNSPACED


def may_be_in(language: str, letters_of: str) -> bool:
    """Whether a text in the letters of one language may be in another: a voice would spell it, or say nothing.

    Many a language is written in Latin letters as well, but none that has Han characters; those are Chinese, and read
    in Japanese and Korean too.
    """
    script, found = (langcodes.get(tag).maximize().script for tag in (language, letters_of))
    if found == "Latn":
        return script not in HAN
    return script == found or (found in ("Hans", "Hant") and script in HAN)


def usual_characters_per_s(tag: str) -> float:
    """About how many characters of a language, as it is written, an unhurried speaker says in a second."""
    return USUAL_OF_SCRIPT.get(base(tag), USUAL_CHARACTERS_PER_S)


def own_name(tag: str) -> str:
    """In the language itself (``es`` → ``español``)."""
    return langcodes.get(tag).autonym()


def iso639_2t(tag: str) -> str:
    """ISO 639-2/T, which MP4 carries (``de`` → ``deu``); ``und`` where there is none."""
    try:
        return langcodes.get(tag).to_alpha3()
    except LookupError:
        return "und"


def matches(wanted: str, offered: str) -> bool:
    """Whether an engine that declares ``offered`` can serve ``wanted``: the same language, and no other region or
    script than the one offered, where it offers a particular one (``es`` serves ``es-MX``; ``pt-BR`` not ``pt-PT``)."""
    if wanted == offered:
        return True
    a, b = langcodes.get(wanted), langcodes.get(offered)
    if a.language != b.language:
        return False
    same_script = b.script is None or a.script in (None, b.script)
    same_region = b.territory is None or a.territory in (None, b.territory)
    return same_script and same_region
