"""The labels of figures in languages other than English: one table a language, applied to a figure that is drawn.

A phrase is translated where a whole line of text has its form, so that the names of others, of models, judges and
prompt sets, stay as they are. A new language is a new table; a line that a table lacks stays English.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from safebasin.errors import UsageError, expected

if TYPE_CHECKING:
    from matplotlib.text import Text

__all__ = ["LANGUAGES", "check_language", "translate", "translated"]

_GERMAN: Mapping[str, str] = {
    # axes
    r"answered \(%\)": "beantwortet (%)",
    r"counted as success \(%\)": "als Erfolg gezählt (%)",
    r"share of responses \(%\)": "Anteil der Antworten (%)",
    r"ASR \(%\) by (.+)": r"ASR (%) nach \1",
    r"answered \(%\) by (.+)": r"beantwortet (%) nach \1",
    r"([αβ] )?\(in units of ‖θ‖ per tensor\)": r"\1(in Einheiten von ‖θ‖ je Tensor)",
    r"([αβ] )?\(in units of ‖θ‖ per row\)": r"\1(in Einheiten von ‖θ‖ je Zeile)",
    r"([αβ] )?\(in units of ‖θ‖ of the whole model\)": r"\1(in Einheiten von ‖θ‖ des ganzen Modells)",
    r"([αβ] )?\(1 = the target\)": r"\1(1 = das Ziel)",
    r"([αβ] )?\(1 = as far as the other target; orthogonal to it\)": (
        r"\1(1 = so weit wie das andere Ziel; senkrecht dazu)"
    ),
    r"([αβ]) along (\d+) (.+) directions": r"\1 entlang \2 Richtungen (\3)",
    r"([αβ]) along (.+), seed (\d+), direction (\d+)": r"\1 entlang \2, Seed \3, Richtung \4",
    r"([αβ]) along (.+)": r"\1 entlang \2",
    r"radius \(\|α\| at 50%\)": "Radius (|α| bei 50 %)",
    r"margin: mean of 1 − ASR \(%\)": "Margin: Mittel von 1 − ASR (%)",
    r"bars: cannot be told apart": "Balken: nicht zu unterscheiden",
    # what responses are
    r"refused": "verweigert",
    r"evasive": "ausweichend",
    r"complied": "befolgt",
    r"harmful": "schädlich",
    r"incoherent": "inkohärent",
    r"unscored": "nicht bewertet",
    # lines and bands
    r"(.+): 1 direction": r"\1: 1 Richtung",
    r"(.+): mean of (\d+) directions": r"\1: Mittel aus \2 Richtungen",
    r"\(band: range over (\d+) directions\)": r"(Band: Spanne über \1 Richtungen)",
    r"\(band: Wilson 95% interval\)": "(Band: Wilson-Intervall, 95 %)",
    r"mean radius (.+)": r"mittlerer Radius \1",
    r"radius (\S+|≥ \S+) toward": r"Radius \1 hin",
    r"radius (\S+|≥ \S+) away": r"Radius \1 weg",
    r"radius (\S+|≥ \S+) away, (\S+|≥ \S+) toward": r"Radius \1 weg, \2 hin",
    r"\((.+) at 50%\)": r"(\1 bei 50 %)",
    r"(\d+) of (\d+) points": r"\1 von \2 Punkten",
    r"not measured": "nicht gemessen",
    r"(.+), numbers: epochs": r"\1, Zahlen: Epochen",
    r"\(up to (\d+)% of its move is off the line\)": r"(bis zu \1 % seines Weges liegen neben der Linie)",
    r"\(up to (\d+)% of its move is off the plane\)": r"(bis zu \1 % seines Weges liegen neben der Ebene)",
    r"(.+) \(for comparison\)": r"\1 (zum Vergleich)",
    # planes
    r"nothing measured yet": "noch nichts gemessen",
    r"origin: the model itself": "Ursprung: das Modell selbst",
    r"target: (.+)": r"Ziel: \1",
    r"50% rim of each plane": "50-%-Rand jeder Ebene",
    r"50% rim, mean of (\d+) planes, radius (.+)": r"50-%-Rand, Mittel aus \1 Ebenen, Radius \2",
    r"50% rim, mean of (\d+) planes": r"50-%-Rand, Mittel aus \1 Ebenen",
    r"50% rim, radius (.+)": r"50-%-Rand, Radius \1",
    r"50% rim": "50-%-Rand",
    r"(.+): 50% rim": r"\1: 50-%-Rand",
    r"(.+): no rim in the range": r"\1: kein Rand im Bereich",
    r"(.+), radius (.+)": r"\1, Radius \2",
    r"(.+) · radius (.+)": r"\1 · Radius \2",
    r"measured: (\d+) points": r"gemessen: \1 Punkte",
    r"measured: (\d+) points, else interpolated": r"gemessen: \1 Punkte, sonst interpoliert",
    r"not measured: (\d+) of (\d+) points": r"nicht gemessen: \1 von \2 Punkten",
    r"(\d+) of (\d+) points not measured: out of the mean": r"\1 von \2 Punkten nicht gemessen: nicht im Mittel",
    r"plane (\d+)": r"Ebene \1",
    # groups and comparisons
    r"mean ASR": "mittlere ASR",
    r"mean answered": "im Mittel beantwortet",
    r"radius, 95% interval": "Radius, 95-%-Intervall",
    r"radius": "Radius",
    r"lower bound: a side never crosses": "untere Schranke: eine Seite reicht nie so weit",
    r"not known": "nicht bekannt",
    r"(.+): not known": r"\1: nicht bekannt",
    # audits
    r"worse by, in points of percent": "schlechter um, in Prozentpunkten",
    r"limit": "Grenze",
    # sweeps and training runs
    r"the base, with its interval": "das Grundmodell, mit seinem Intervall",
    r"higher than the base": "höher als das Grundmodell",
    r"lower than the base": "niedriger als das Grundmodell",
    r"not told apart": "nicht zu unterscheiden",
    r"ASR \(%\)": "ASR (%)",
    r"step": "Schritt",
    r"loss \(nats per token\)": "Loss (Nats je Token)",
    r"rows trained on": "gelernte Zeilen",
    r"held-out rows": "zurückgehaltene Zeilen",
    # titles
    r"(.+) · 50% rims · Prompt sets": r"\1 · 50-%-Ränder · Prompt-Mengen",
    r"(.+) · Prompt sets": r"\1 · Prompt-Mengen",
    r"(.+) · Prompt sets, system prompt (.+)": r"\1 · Prompt-Mengen, System-Prompt \2",
    r"(.+) · System prompts, (.+)": r"\1 · System-Prompts, \2",
    r"(.+), each plane": r"\1, jede Ebene",
    r"(.+) · system: (.+)": r"\1 · System-Prompt: \2",
}  # fmt: skip

_TABLES: Mapping[str, Mapping[str, str]] = {"en": {}, "de": _GERMAN}
LANGUAGES = tuple(_TABLES)
"""Codes of the languages, as in ISO 639-1."""


def check_language(language: str) -> None:
    """Raises: UsageError where there is no table of the language."""
    if language not in LANGUAGES:
        raise UsageError(expected("labels", f"one of {', '.join(LANGUAGES)}", language, "Choose one of them."))


def translate(texts: Iterable[Text], language: str) -> None:
    """Translate texts of a figure in place."""
    for text in texts:
        text.set_text(translated(text.get_text(), language))


def translated(text: str, language: str) -> str:
    """The text in this language, line by line; what no phrase of the table fits stays."""
    return "\n".join(_translated(line, _TABLES[language]) for line in text.split("\n"))


def _translated(line: str, table: Mapping[str, str]) -> str:
    for phrase, words in table.items():
        found = re.fullmatch(phrase, line)
        if found is not None:
            return found.expand(words) if "\\" in words else words
    return line
