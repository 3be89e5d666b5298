# ruff: noqa: E501 - a row of a table is one line
"""What is shown and what is said, by language: numbers, dates, times, money, units, formulas, abbreviations, signs."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.documents.blocks import lowered, raised
from tasks.text.spoken import directions, spoken_form

ENGLISH = [
    ("It leaves at 21:30 on 3 May 2024.", "It leaves at twenty-one thirty on the third of May, twenty twenty-four."),
    ("2024-05-03 at 9:05 a.m.", "May third, twenty twenty-four at nine oh five A M."),
    ("On 3/4/2026, or 2026-05-03T10:30:00Z", "On March fourth, twenty twenty-six, or May third, twenty twenty-six, ten thirty"),
    ("In Sept. 2023. The 4th of July. Jan. 5, 2024.", "In September twenty twenty-three. The fourth of July. January fifth, twenty twenty-four."),
    ("9am-5pm, 7.30pm. It rained.", "nine A M to five P M, seven thirty P M. It rained."),
    ("$3.50, $3.5M and €20 million", "three dollars fifty, three point five million dollars and twenty million euros"),
    ("1.000.000 €, €5,50 or $1.50/kg", "one million euros, five euros fifty or one dollar fifty per kilogram"),
    ("£2.2bn, US$5-10, A$10, CHF 20, -$5", "two point two billion pounds, five to ten dollars, ten Australian dollars, twenty Swiss francs, minus five dollars"),
    ("The $64,000 question, a 5 km run, $5 a head", "The sixty-four thousand dollar question, a five kilometer run, five dollars a head"),
    ("2.2 bn people, 10k users, at 221B Baker Street", "two point two billion people, ten thousand users, at 221B Baker Street"),
    ("Call (555) 010-9999, +44 20 7946 0958 or 911.", "Call five five five, zero one zero, nine nine nine nine, plus four four, two zero, seven nine four six, zero nine five eight or nine hundred eleven."),
    ("Tel. 0800 123 456; ISBN 978-3-16-148410-0", "Telephone zero eight zero zero, one two three, four five six; ISBN nine seven eight, three, one six, one four eight four one zero, zero"),
    ("45% of 1,234 people, 10–20 km away, -5 °C", "forty-five percent of one thousand two hundred thirty-four people, ten to twenty kilometers away, minus five degrees Celsius"),
    ("5 GB/s, 60 m² per m², 5'10\", 100 000 kWh", "five gigabytes per second, sixty square meters per square meter, five foot ten, one hundred thousand kilowatt-hours"),
    ("In 1984, in the 1990s, the '80s, 1500 lines", "In nineteen eighty-four, in the nineteen nineties, the eighties, one thousand five hundred lines"),
    ("In 1984 sales rose, 1914-18, 1939–1945", "In nineteen eighty-four sales rose, nineteen fourteen to eighteen, nineteen thirty-nine to nineteen forty-five"),
    ("3:2, 16:9, 10-20 people, a Boeing 737-800", "three to two, sixteen to nine, ten to twenty people, a Boeing seven hundred thirty-seven-eight hundred"),
    ("1/2 cup, 1 1/2 cups, 2½ tsp, ¾ l, 2/3 of it", "half a cup, one and a half cups, two and a half teaspoons, three quarters of a liter, two thirds of it"),
    ("8/10, 24/7, 9/11, 120/80, 2025/26, 6 / 2 = 3", "eight out of ten, twenty-four seven, nine eleven, one hundred twenty over eighty, twenty twenty-five twenty-six, six divided by two equals three"),
    ("the 21st of 007, Chapter IV, v1.2.3", "the twenty-first of zero zero seven, Chapter four, version one point two point three"),
    ("I, II, III. Henry VIII, World War II; Charles I think", "one, two, three. Henry the eighth, World War two; Charles I think"),
    ("Type C, type II, Chapter IV, in part I think, parts I and II", "Type C, type two, Chapter four, in part I think, parts one and two"),
    ("2.5x faster, 1920×1080, ~5, #3, 7 - 3 = 4", "two point five times faster, one thousand nine hundred twenty by one thousand eighty, about five, number three, seven minus three equals four"),
    ("CO₂, H₂O, E = mc², 10⁻⁶, 5×10³, 10^6", "CO two, H two O, E equals mc squared, ten to the power of minus six, five times ten cubed, ten to the power of six"),
    ("See https://example.org. Press www.mills.net/a?b=c, or ask a@mills.net.", "See example dot org. Press mills dot net, or ask a at mills dot net."),
    ("CHF 3'500 and 1'250'000 people", "three thousand five hundred Swiss francs and one million two hundred fifty thousand people"),
    ("Elizabeth I and George V were dead. Elizabeth I’s reign", "Elizabeth the first and George the fifth were dead. Elizabeth the first’s reign"),
    ("In Sect. 2, ext. 12, Rte. 66, Apt. 4, a 3x5 ft. shelf", "In section two, extension twelve, route sixty-six, apartment four, a three by five feet shelf"),
    ("a day.¹ It’s the moon² and word³", "a day. It’s the moon and word"),
    ("$x^2 + y^2 = z^2$, but $5 and $10", "x squared plus y squared equals z squared, but five dollars and ten dollars"),
    (r"$\frac{a}{2}$, \(x_1 \le \alpha\), $$\sum_{i=1}^n i$$", "a over two, x one at most alpha, the sum of i equals one to n i"),
    (r"$\sqrt{2}$ and $A = \pi r^2$, π ≈ 3.14", "the square root of two and A equals pi r squared, pi about three point one four"),
    ("p < 0.05, x > y, Settings > General", "p is less than zero point zero five, x is greater than y, Settings, General"),
    ("Dr. Drum & drôle, e.g. this, etc.", "Doctor Drum and drôle, for example this, and so on."),
    ("No. I won't. No. 5 on Main St. by St. John's", "No. I won't. number five on Main Street by Saint John's"),
    ("vol. 2, pp. 3-7, see Fig. 3; E.g. 5 vs. 6", "volume two, pages three to seven, see figure three; For example five versus six"),
    ("and/or, TCP/IP, w/o it, @ana, C#", "and or, TCP IP, without it, at ana, C sharp"),
    ("See https://example.org/a?b or a@b.org", "See example dot org or a at b dot org"),
    ("as shown (doi:10.1000/xyz123) before", "as shown before"),
    ("*bold* snake_case 🙂 <b>and</b> [1] [sic]", "bold snake case and"),
    ("[laughs] Well (sighs), [the king] *coughs* left", "Well, the king left"),
    ("One · two | three, 3·4, 0:17.4", "One, two, three, three times four, 0:17.4"),
    (">2 GB in <60 s, 180°C/160°C, 23 x 13 cm, 5 km × 5 km", "more than two gigabytes in less than sixty seconds, one hundred eighty degrees Celsius, one hundred sixty degrees Celsius, twenty-three by thirteen centimeters, five kilometers by five kilometers"),
    ("$0.45/share, €0.01, £0.50, a $0.25 fee", "forty-five cents per share, one cent, fifty pence, a twenty-five cent fee"),
    ("Na⁺, Ca²⁺, 3 Gt yr⁻¹, 5 W m⁻², HTTP/2, Eq. (1)", "Na plus, Ca two plus, three Gt per year, five watts per square meter, HTTP two, equation (one)"),
    ("in 60s, the 60s, Mon.–Fri., incl. $dM/dt$", "in sixty seconds, the sixties, Monday to Friday, including d M divided by d t"),
    ("At 48°51′N, 2°21'24\"E and 33.9° S; a 45° angle of 10°30′, 25bps", "At forty-eight degrees fifty-one minutes north, two degrees twenty-one minutes twenty-four seconds east and thirty-three point nine degrees south; a forty-five degree angle of ten degrees thirty minutes, twenty-five basis points"),
    ("B2B and COVID", "B2B and COVID"),
]  # fmt: skip
SPANISH = [
    ("40°25′N 3°42′O, a 20° de allí", "cuarenta grados veinticinco minutos norte tres grados cuarenta y dos minutos oeste, a veinte grados de allí"),
    ("a las 21:30 cuesta 3,50 € o 1.234,5 km", "a las veintiuna treinta cuesta tres euros con cincuenta o mil doscientos treinta y cuatro coma cinco kilómetros"),
    ("21 libros del Sr. Pérez, 45 %, 21 casas, 1 de cada 3", "veintiún libros del señor Pérez, cuarenta y cinco por ciento, veintiuna casas, uno de cada tres"),
    ("1.000.000 de personas, 2,2 M€, 3 M de euros", "un millón de personas, dos coma dos millones de euros, tres millones de euros"),
    ("$x^2 = y$, CO₂, 10⁶, 60 m² por m²", "x al cuadrado igual a y, CO dos, diez elevado a seis, sesenta metros cuadrados por metro cuadrado"),
    ("1/2 litro, 1/2 taza, 2½, 3/4, 3:2, el 3/4/2026", "medio litro, media taza, dos y medio, tres cuartos, tres a dos, el tres de abril de dos mil veintiséis"),
    ("siglo XXI, Felipe VI, Alfonso XIII, Isabel II, 2.ª", "siglo veintiuno, Felipe sexto, Alfonso trece, Isabel segunda, segunda"),
    ("Tel. 600 123 456, pág. 5, EE. UU., el 1 de enero", "Teléfono seis cero cero, uno dos tres, cuatro cinco seis, página cinco, Estados Unidos, el primero de enero"),
    ("en el s. XVII, c. 1500, de 18 a 20 h. y el dom.", "en el siglo diecisiete, hacia mil quinientos, de dieciocho a veinte horas y el domingo."),
    ("[risas] Sí, p. ej. 10-20 personas", "Sí, por ejemplo diez a veinte personas"),
]  # fmt: skip
GERMAN = [
    ("Ein 30° O-Ton", "Ein dreißig Grad O-Ton"),
    ("48° 51′ N, 2° 21′ O", "achtundvierzig Grad einundfünfzig Minuten Nord, zwei Grad einundzwanzig Minuten Ost"),
    ("Am 3. Mai um 21:30 Uhr kostet es 5 €, z. B. 12 %", "Am dritten Mai um einundzwanzig Uhr dreißig kostet es fünf Euro, zum Beispiel zwölf Prozent"),
    ("Er wurde 21. Danach kam der 1. Mai. Um 9.30 Uhr", "Er wurde einundzwanzig. Danach kam der erste Mai. Um neun Uhr dreißig"),
    ("im 21. Jahrhundert, der 2. Weltkrieg, 1. FC Köln", "im einundzwanzigsten Jahrhundert, der zweite Weltkrieg, erster FC Köln"),
    ("2,2 Mrd. Euro, 1 Mio. Menschen, 3 Mrd. €", "zwei Komma zwei Milliarden Euro, eine Million Menschen, drei Milliarden Euro"),
    ("am 3.4.2026, 3:2, 1/2 TL, 1 1/2 Tassen, 1/4 l", "am dritten April, zweitausendsechsundzwanzig, drei zu zwei, ein halber Teelöffel, eineinhalb Tassen, ein Viertel Liter"),
    ("$x^2$, CO₂, 10⁶, 1 Stunde, 10-20 Tage", "x hoch zwei, CO zwei, zehn hoch sechs, eine Stunde, zehn bis zwanzig Tage"),
    ("Karl V. und Elisabeth II. im 19. Jh. Dann S. 5", "Karl der Fünfte und Elisabeth die Zweite im neunzehnten Jahrhundert. Dann Seite fünf"),
    ("am 3. Mai, die 1. dt. Strecke", "am dritten Mai, die erste deutsche Strecke"),
    ("Tel. 030 1234567", "Telefon null drei null, eins zwei drei vier fünf sechs sieben"),
]  # fmt: skip
FRENCH = [
    ("1 234,5 km et 3,50 €", "mille deux cent trente-quatre virgule cinq kilomètres et trois euros cinquante"),
    ("à 21h30 ou 9 h 05, 21 heures", "à vingt-et-une heures trente ou neuf heures cinq, vingt-et-une heures"),
    ("2,2 Md€, 3 M€, 1 000 000 habitants", "deux virgule deux milliards d'euros, trois millions d'euros, un million d'habitants"),
    ("XXIe siècle, Louis XIV, François Ier, 2e, 1re", "vingt-et-unième siècle, Louis quatorze, François premier, deuxième, première"),
    ("Tél. 01 23 45 67 89", "Téléphone zéro un, vingt-trois, quarante-cinq, soixante-sept, quatre-vingt-neuf"),
    ("$x^2$, CO₂, 3:2, 1/2 tasse, le 1 mai, le 3/4/2026", "x au carré, CO deux, trois à deux, une demi tasse, le premier mai, le trois avril deux mille vingt-six"),
    ("M. Dupont, n° 5, p. 12, p. ex. 10-15 min", "Monsieur Dupont, numéro cinq, page douze, par exemple dix à quinze minutes"),
]  # fmt: skip
OTHERS = [
    ("it", "1.000.000 €, 2,2 mld di euro, 1 ora, XXI secolo", "un milione di euro, due virgola due miliardi di euro, un'ora, ventunesimo secolo"),
    ("it", "$x^2$, CO₂, 3:2, 1/2 tazza, 1° maggio. Ore 9.30", "x al quadrato, CO due, tre a due, mezza tazza, primo maggio. Ore nove e trenta"),
    ("pt", "R$ 2,2 bi, R$ 1,5 milhão, às 21h30, 2 horas", "dois vírgula dois bilhões de reais, um vírgula cinco milhão de reais, às vinte e uma e trinta, duas horas"),
    ("pt", "$x^2$, CO₂, 3:2, 1/2 xícara, século XXI, D. Pedro II", "x ao quadrado, CO dois, três a dois, meia xícara, século vinte e um, dom Pedro segundo"),
    ("nl", "€ 1.000.000, 2,2 mld euro, om 21:30 uur, 21e eeuw", "een miljoen euro, twee komma twee miljard euro, om eenentwintig uur dertig, eenentwintigste eeuw"),
    ("nl", "$x^2$, CO₂, 10-20 mensen, op 3-4-2026, o.a. 100 km/u", "x kwadraat, CO twee, tien tot twintig mensen, op drie april tweeduizendzesentwintig, onder andere honderd kilometer per uur"),
    ("de", "85 US-$ bei https://bahn.example. Dann", "fünfundachtzig Dollar bei bahn Punkt example. Dann"),
    ("zh", "邮箱info@rail.example，网址https://www.rail.example。好", "邮箱info at rail 点 example，网址rail 点 example。好"),
    ("zh", "今天有25%的人，2024年，1500人", "今天有百分之二十五的人，二零二四年，一千五百人"),
    ("zh", "位于39°54′N，116°23′E。", "位于北纬三十九度五十四分，东经一百一十六度二十三分。"),
    ("nl", "52°22′ NB", "tweeënvijftig graden tweeëntwintig minuten noorderbreedte"),
    ("zh", "2个人，第2次，2.2亿，¥100，$5，10-20天", "两个人，第二次，二点二亿，一百元，五美元，十到二十天"),
    ("zh", "2026/3/4,上午9:05,比分3:2,1/3的人,2½", "二零二六年三月四日,上午九点零五分,比分三比二,三分之一的人,二又二分之一"),
    ("zh", "60m²,20°C,5km,CO₂,10⁶,$x^2$", "六十平方米,二十摄氏度,五公里,CO二,十的六次方,x的平方"),
    ("zh", "电话010-12345678，1939–1945年", "电话零一零，一二三四五六七八，一九三九到一九四五年"),
    ("eu", "bederatzi 3,5 dira", "bederatzi 3,5 dira"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("language", "shown", "said"),
    [
        *(("en", *row) for row in ENGLISH),
        *(("es", *row) for row in SPANISH),
        *(("de", *row) for row in GERMAN),
        *(("fr", *row) for row in FRENCH),
        *OTHERS,
    ],
)
def test_spoken(language: str, shown: str, said: str) -> None:
    assert spoken_form(shown, language) == said


def test_a_region_says_its_own_words() -> None:
    assert spoken_form("6 km on 3/4/2026", "en-GB") == "six kilometres on the third of April, twenty twenty-six"


def test_a_lexicon_goes_before_everything() -> None:
    lexicon = {"SQL": "sequel", "GPT-4": "gee pee tee four", "C++": "see plus plus"}
    assert spoken_form("SQL, GPT-4, C++ and SQLish", "en", lexicon) == (
        "sequel, gee pee tee four, see plus plus and SQLish"
    )


def test_what_is_said_as_it_is_written_stays() -> None:
    for text in ("Nobody remembers who asked for it.", "“We never stop,” she said — and laughed."):
        assert spoken_form(text, "en") == text


@pytest.mark.parametrize(
    ("language", "shown", "said"),
    [
        ("en", "Venus orbits the Sun. It was hot.", ""),
        ("en", "They rose. Sat. Rose again.", ""),
        ("en", "On Sun. Ana left, on Sat. at 9am she came.", "On Sunday. Ana left, on Saturday at nine A M she came."),
        ("en", "Sun., 3 May, and every Sat. It rains.", "Sunday, the third of May, and every Saturday. It rains."),
        ("en", "Mon. 3 May, Sat. 9–5. See you Tue. Then we talk.", "Monday the third of May, Saturday nine to five. See you Tuesday. Then we talk."),
        ("es", "Ven el lun. Luego el dom. a las 9:00.", "Ven el lunes. Luego el domingo a las nueve."),
        ("de", "Am Mo. Abend und Di. um 9 Uhr.", "Am Montag Abend und Dienstag um neun Uhr."),
    ],
)  # fmt: skip
def test_a_day_is_one_where_a_time_stands(language: str, shown: str, said: str) -> None:
    assert spoken_form(shown, language) == (said or shown)


@pytest.mark.parametrize(
    ("shown", "said"),
    [
        ("if x<y then z>w", "if x is less than y then z is greater than w"),
        ("Write <name> and <your address> here", "Write name and your address here"),
        ('<b>bold</b><br/> <font color=red>red</font> <a href="x">it</a> <break time="1s"/> on', "bold red it on"),
    ],
)
def test_words_between_signs_are_no_tags(shown: str, said: str) -> None:
    assert spoken_form(shown, "en") == said


@pytest.mark.parametrize(
    ("shown", "said"),
    [
        ("10ⁿ, $x^n$", "ten to the power of n, x to the power of n"),
        ("f⁽ⁿ⁾, word⁽²⁾ and more", "f to the power of n, word and more"),
        ("a₍₁₎ and 10ⁿ⁻¹", "a one and ten to the power of n minus one"),
    ],
)
def test_all_that_is_raised_or_lowered_is_said(shown: str, said: str) -> None:
    assert spoken_form(shown, "en") == said


@given(st.text("0123456789+-=()ni", min_size=1, max_size=6))
def test_no_raised_or_lowered_sign_is_left(text: str) -> None:
    shown = f"x{raised(text)} and x{lowered(text)} and 10{raised(text)}"
    assert not set(spoken_form(shown, "en")) & set("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ⁿⁱ₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎")


@pytest.mark.parametrize(
    ("language", "shown", "said"),
    [
        ("en", "(2020) 15-20 percent", "(twenty twenty) fifteen to twenty percent"),
        ("en", "Smith (1998) 12-18 kg, row (12) 150-200 people", "Smith (nineteen ninety-eight) twelve to eighteen kilograms, row (twelve) one hundred fifty to two hundred people"),
        ("en", "(555) 010-9999, (01632) 960 001", "five five five, zero one zero, nine nine nine nine, zero one six three two, nine six zero, zero zero one"),
        ("es", "(91) 330 28 00", "nueve uno, tres tres cero, dos ocho, cero cero"),
        ("de", "(2021) 10-12 Tage", "(zweitausendeinundzwanzig) zehn bis zwölf Tage"),
    ],
)  # fmt: skip
def test_a_year_in_brackets_begins_no_telephone_number(language: str, shown: str, said: str) -> None:
    assert spoken_form(shown, language) == said


@pytest.mark.parametrize(
    ("language", "shown", "said"),
    [
        ("en", "Flat 4B was let. 221B in London, a 4k video, a 10k run.", ""),
        ("en", "Room 12M needs paint, at gate 4B it rains.", ""),
        ("en", "5M downloads, 10k users, $5m, 3k people", "five million downloads, ten thousand users, five million dollars, three thousand people"),
        ("en", "About 7B devices and 2 M books", "About seven billion devices and two million books"),
        ("es", "El 3M de ayer, un vídeo 4k claro, piso 4M derecha", ""),
        ("es", "10k usuarios, 3 M de euros", "diez mil usuarios, tres millones de euros"),
        ("de", "Ein 4k Video, 10k Nutzer und 5k Menschen", "Ein 4k Video, zehn tausend Nutzer und fünf tausend Menschen"),
        ("fr", "une vidéo 4k nette, 10k abonnés, 3 M d'habitants", "une vidéo 4k nette, dix mille abonnés, trois millions d'habitants"),
        ("it", "un video 4k nitido, 10k utenti", "un video 4k nitido, dieci mila utenti"),
        ("nl", "een 4k video, 10k gebruikers", "een 4k video, tien duizend gebruikers"),
        ("pt", "um vídeo 4k claro, 10k pessoas", "um vídeo 4k claro, dez mil pessoas"),
    ],
)  # fmt: skip
def test_a_letter_is_a_million_of_many_things_only(language: str, shown: str, said: str) -> None:
    heard = spoken_form(shown, language)
    assert heard == (said or heard)
    if not said:
        assert re.findall(r"\d+[kMB]\b", heard) == re.findall(r"\d+[kMB]\b", shown)


@pytest.mark.parametrize(
    ("language", "shown", "said"),
    [
        ("en", "He played *the music* loudly.", "He played the music loudly."),
        ("en", "She loves dancing (and music) more than the silence (or music) that comes after.", ""),
        ("en", "There was music (music) and *silence*, (Music) is one.", "There was music (music) and silence, (Music) is one."),
        ("en", "He said [the music] made him cry. [The silence] did not.", "He said the music made him cry. The silence did not."),
        ("en", "It works. (Laughter) And then [pause] it did not. [soft music]", "It works. And then it did not."),
        ("de", "Die Pause (Musik) war (lacht) lang. (Beifall)", "Die Pause (Musik) war lang."),
        ("es", "Una *pausa* [risas fuertes] larga (suspira).", "Una pausa risas fuertes larga."),
        ("zh", "我喜欢（音乐和）书。（掌声）谢谢（笑）。", "我喜欢（音乐和）书。谢谢。"),
    ],
)  # fmt: skip
def test_words_of_a_text_are_no_directions(language: str, shown: str, said: str) -> None:
    assert spoken_form(shown, language) == (said or shown)


ASIDES = st.sampled_from(["{}", "({})", "[{}]", "*{}*", "{}.", "{},"])
ASIDE_WORDS = st.sampled_from(["the", "music", "laughs", "sighs", "silence", "Then", "and", "he", "Soft", "pause"])


@given(st.lists(st.tuples(ASIDES, st.lists(ASIDE_WORDS, min_size=1, max_size=3)), max_size=12))
def test_no_word_is_left_out_untold(parts: list[tuple[str, list[str]]]) -> None:
    text = " ".join(form.format(" ".join(words)) for form, words in parts)
    told = " ".join(directions(text, "en"))
    heard = spoken_form(text, "en")
    assert sorted(re.findall(r"\w+", text)) == sorted(re.findall(r"\w+", f"{heard} {told}"))


@given(st.text(max_size=300), st.sampled_from(["en", "es", "de", "fr", "it", "pt", "nl", "zh", "ru", "eu", "xx"]))
def test_any_text_has_a_spoken_form(text: str, language: str) -> None:
    said = spoken_form(text, language)
    assert "\n" not in said
    assert not any("\ue000" <= c <= "\uf8ff" for c in said)


@given(st.integers(0, 10**12), st.sampled_from(["en", "es", "de", "fr", "it", "pt", "nl"]))
def test_no_digit_is_left(number: int, language: str) -> None:
    assert not any(c.isdigit() for c in spoken_form(f"a {number} b", language))


@given(
    st.integers(10**4, 10**12),
    st.sampled_from(" \u00a0\u202f\u2009"),
    st.sampled_from(["en", "es", "de", "fr", "it", "pt", "nl"]),
)
def test_groups_of_three_digits_are_one_number(number: int, space: str, language: str) -> None:
    assert spoken_form(f"a {number:,} b".replace(",", space), language) == spoken_form(f"a {number} b", language)
