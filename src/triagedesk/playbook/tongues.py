"""Which languages a text may hold, by its commonest words: so that only their patterns are compiled and searched.

Not language identification: a text may hold several, and a wrong yes costs microseconds. More text can only add
languages, never take one away, so nothing appended to a ticket switches a pattern off.
"""

from __future__ import annotations

from collections.abc import Iterable

ANY = "*"
"""The language of patterns that are searched in every text."""

SHORT_WORDS = 8
"""A text of fewer words is searched in every language: it may hold no common word at all."""

_COMMON = {
    "en": "the and is are was were my your you it its this that with for not have has had been can can't cannot i'm "
    "i've it's don't didn't from they we our what when how please there would just but which his her will hello hi",
    "de": "der die das und ist sind war ich wir sie ihr mein meine meinen meiner unser unsere nicht kein keine mit "
    "von auf bei aus ein eine einen einem einer dass wenn wie was hat habe haben wird wurde bitte seit noch schon "
    "auch aber oder zu im am es den dem des fur nach uber hallo guten danke mir mich ihnen",
    "fr": "le la les un une des du et est sont je j'ai nous vous mon ma mes votre notre pas ne n'est c'est dans sur "
    "pour avec par que qui au aux ce cette mais ou depuis bonjour merci suis ete ai avez plus tout d'un l'ai qu'il "
    "on il elle sans chez encore deja",
    "es": "el la los las un una unos y es son soy mi mis su sus no con por para que de del al en se me lo le pero "
    "como esta este esto estoy tengo hay hola buenas buenos gracias ha han he muy desde ya sin nos cuando porque mas "
    "usted ustedes fue yo te si",
    "it": "il lo la gli le un una uno e sono mi mio mia miei non con per che di del della dei delle al alla nel nella "
    "ho hai ha abbiamo avete questo questa ma come piu da dal anche ancora buongiorno salve ciao grazie quando si ci "
    "vi vostro vostra nostro stato dopo senza e'",
    "pt": "o os as um uma e sao meu minha meus minhas nao com por para que de do da dos das em no na nos nas eu voce "
    "voces me se mas como esta este isso estou tenho ha ola bom boa obrigado obrigada ja mais desde sem quando foi "
    "foram ao aos pelo pela ate so tem",
    "nl": "de het een en is zijn ik wij jullie u mijn ons onze niet geen met van op bij uit dat wat als heb heeft "
    "hebben wordt werd graag sinds nog al ook maar om te naar voor hallo goedendag beste dank er dit die kan hoe",
    "pl": "i w na z do nie jest sa to sie ze mam mi moj moja moje nasz prosze dzien dobry od po za jak co ale czy "
    "przez dla jestem mnie juz jeszcze tylko byl byla bylo o u ze przy przed pani pan witam dziekuje",
}

_WORDS = {language: frozenset(words.split()) for language, words in _COMMON.items()}
_EDGES = ".,;:!?()[]{}<>\"'-_*/\\…@#"


def languages_in(folded: str, known: Iterable[str]) -> tuple[str, ...]:
    """Return those of the known languages that a folded text may hold; all of them when none shows.

    A language without a list here is always among them.
    """
    words = {word.strip(_EDGES) for word in folded.split()}
    known = tuple(known)
    found = tuple(name for name in known if name not in _WORDS or not _WORDS[name].isdisjoint(words))
    shown = any(name in _WORDS for name in found)
    return found if shown and len(words) >= SHORT_WORDS else known
