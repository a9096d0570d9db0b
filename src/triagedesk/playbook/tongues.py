"""Which languages a text may hold, by its commonest words: so that only their patterns are compiled and searched.

Not language identification: a text may hold several, and a wrong yes costs microseconds. More text can only add
languages, never take one away, so nothing appended to a ticket switches a pattern off.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping

from triagedesk.playbook.folding import words_of

ANY = "*"
"""The language of patterns that are searched in every text."""

SHORT_WORDS = 12
"""In a text of fewer words, one common word is enough; where there is none at all, every language is searched."""

_COMMON = {
    "en": "the and are were my your you this that with for not have been can cannot from they our what when how "
    "please there would just but which hello i'm his she their it's don't didn't won't could should after because",
    "de": "der das und ist sind ich wir sie ihr mein meine meinen meiner unser unsere nicht kein keine keinen mit von "
    "auf bei aus ein eine einen einem einer dass wenn wie habe haben wird wurde bitte seit noch schon auch aber oder "
    "zu im des fur nach uber hallo guten danke mir mich ihnen sich nur jetzt heute gestern immer wieder den dem es",
    "fr": "les est sont je nous vous mes votre vos notre pas dans sur pour avec qui cette mais depuis bonjour bonsoir "
    "merci suis ete avez ont elle ils chez encore deja aux une ce c'est j'ai n'est qu'il d'un l'ai rien toujours "
    "etait aujourd'hui hier apres aucun aucune ca svp",
    "es": "el los las y soy pero estoy tengo hay hola gracias muy usted ustedes fue yo hasta ahora aqui ayer hoy nada "
    "buenas buenos dias porque desde cuando una para con mis sus esto eso mi del al ha han ningun ninguna tambien",
    "it": "il gli sono mio mia miei che di della dello dei delle nel nella ho hai abbiamo avete hanno questo questa "
    "piu anche ancora buongiorno buonasera salve ciao grazie quando ci vi vostro vostra nostro nostra stato dopo "
    "dal dalla alla non perche adesso ieri oggi niente mi una con",
    "pt": "nao uma voce voces isso estou tenho ola obrigado obrigada foi foram ao aos pelo pela meu minha meus minhas "
    "sao muito agora ontem hoje ainda sem depois quero dia esta este desde quando para mais seu sua ja tem nem nos "
    "ninguem nenhum tambem com",
    "nl": "het een zijn wij jullie mijn ons onze niet geen bij uit dat wat als heb heeft hebben wordt werd graag sinds "
    "nog ook maar naar voor goedendag goedemorgen beste dank dit hoe deze ik op kan u te vandaag gisteren",
    "pl": "nie jest sa sie ze mam moj moja moje nasz prosze dzien dobry jak ale czy przez jestem mnie juz jeszcze "
    "tylko byl byla bylo przy przed pani witam dziekuje od po dla mi wczoraj dzis dzisiaj",
}
"""Common words, without those that English or many other languages write alike ("die", "no", "son", "um")."""

_WORDS = {
    language: frozenset(part for word in words.split() for part in word.split("'") if len(part) > 1 or "'" not in word)
    for language, words in _COMMON.items()
}


_ROMANCE = {
    "fr": frozenset(["le", "la", "un", "en", "de", "se", "que", "tout", "on", "au", "du"]),
    "es": frozenset(["la", "lo", "un", "en", "de", "se", "que", "no", "me", "le", "al"]),
    "it": frozenset(["la", "lo", "un", "in", "di", "se", "si", "ha", "le", "al", "e'"]),
    "pt": frozenset(["o", "a", "um", "em", "de", "se", "que", "no", "na", "me", "os", "as"]),
}
"""Words that these languages share: asked only of a sentence in which no language shows otherwise."""


def _languages_by_word(words: Mapping[str, Iterable[str]]) -> dict[str, tuple[str, ...]]:
    """Return the languages of each word: one look a word, however many languages there are."""
    every = sorted({word for held in words.values() for word in held})
    return {word: tuple(name for name, held in words.items() if word in held) for word in every}


_SPEAK = _languages_by_word(_WORDS)
_SHARED = _languages_by_word(_ROMANCE)
_SENTENCE_ENDS = str.maketrans(dict.fromkeys(".!?;", "\n"))


def languages_in(folded: str, known: Iterable[str], detected: str | None = None) -> tuple[frozenset[str], bool]:
    """Return those of the known languages that a folded text may hold, and whether it may hold others besides.

    Asked sentence by sentence, so that more text can add languages and never takes one away. A language shows by two
    of its common words (one in a short sentence), or by being the one detected; one without a list here is always
    among them. A sentence that shows none may be of any language.
    """
    known = tuple(known)
    shown = {name for name in known if name == detected or name not in _WORDS}
    doubtful = False
    for words in {words_of(sentence) for sentence in set(folded.translate(_SENTENCE_ENDS).splitlines())}:
        shows = _shown(words, known)
        shown |= shows
        doubtful = doubtful or (not shows and sum(word.isalpha() and len(word) > 3 for word in words) > 1)
    return frozenset(shown), doubtful or not shown.intersection(_WORDS)


def _shown(words: frozenset[str], known: Collection[str]) -> set[str]:
    enough = 1 if len(words) < SHORT_WORDS else 2
    said = Counter([name for word in words if word in _SPEAK for name in _SPEAK[word]])
    shown = {name for name, count in said.items() if count >= enough and name in known}
    return shown or {name for word in words if word in _SHARED for name in _SHARED[word] if name in known}
