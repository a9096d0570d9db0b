"""Openings: a pattern is left out only where it cannot match."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from triagedesk.playbook.folding import FoldedText
from triagedesk.playbook.leads import Lead, leads
from triagedesk.playbook.lexicon import languages, page
from triagedesk.playbook.openings import openings
from triagedesk.playbook.patterns import PatternRefused, PatternSet
from triagedesk.playbook.sequel import Sequel


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        pytest.param(r"\bfoo\b", {"foo"}, id="a word"),
        pytest.param(r"\bfoo|bar\b", {"foo", "bar"}, id="two words"),
        pytest.param(r"\b(?:(foo|(ba|be)r) x|zoo)\b", {"foo", "ba", "be", "zoo"}, id="groups within groups"),
        pytest.param(r"\b(?:i'?m off)\b", {"i"}, id="up to an apostrophe"),
        pytest.param(r"\b(?:ab?c)\b", {"a"}, id="without the optional letter"),
        pytest.param(r"\b(?:(un)?foo)\b", {"un", "foo"}, id="an optional beginning and what follows"),
        pytest.param(r"\b(?:(ab){0,2}cd)\b", {"ab", "cd"}, id="a beginning that may repeat or be absent"),
        pytest.param(r"\b(?:(x|y)+z)\b", {"x", "y"}, id="a beginning that repeats"),
        pytest.param(r"\b(?:w[ei]nn)\b", {"w"}, id="up to a class"),
        pytest.param(r"\b(?:extraordinarily)\b", {"extraordin"}, id="not beyond the limit"),
    ],
)
def test_what_a_pattern_begins_with_is_found(pattern: str, expected: set[str]) -> None:
    assert openings(pattern) == expected


@pytest.mark.parametrize(
    "pattern",
    [
        r"foo", r"\b\w+foo\b", r"\b(?:a?b)\b", r"\b(?:(a|b)? foo)\b", r"\b(?:)\b", r"\b(?:a|)\b", r"\b(?:[ab]c)\b",
        r"\b(?:a\(b|c)\b", r"\b(?:a[(]b|c)\b", r"\b(?:a[]|]b)\b", r"\b(?i:foo)\b", r"\bübel\b", r"\b\$5\b",
    ],
)  # fmt: skip
def test_what_cannot_be_told_is_searched_in_every_text(pattern: str) -> None:
    assert openings(pattern) is None


PARTS = st.recursive(
    st.sampled_from(
        ["a", "b", "ab", "c1", "ü", " ", r"\w+", "[ab]", "[d]", r"\d", r"\.", "-", "[- ]", r"(\w+ ){0,2}", "'", "s"]
    ),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda two: f"({two[0]}|{two[1]})"),
        st.tuples(inner, st.sampled_from(["?", "*", "+", "{0,2}", "??"])).map(lambda two: f"(?:{two[0]}){two[1]}"),
        inner.map(lambda one: f"{one}?" if one[-1] not in "?*+}" else one),
    ),
    max_leaves=6,
)


@settings(max_examples=400, deadline=None)
@given(st.lists(PARTS, min_size=1, max_size=4), st.text(alphabet="aAbB c1dsſü_'-Kk.…", max_size=30))
def test_a_set_not_yet_compiled_finds_what_a_compiled_one_finds(patterns: list[str], text: str) -> None:
    bounded = [rf"\b(?:{pattern})\b" for pattern in patterns]
    by_filter = list(PatternSet(bounded).find(text))
    lazy = PatternSet(bounded, lazy=True)
    assert list(lazy.find(text)) == by_filter
    lazy.compile()
    assert list(lazy.find(text)) == by_filter


def _begin(text: str) -> frozenset[bytes]:
    """Write beginnings with commas between them; a full stop stands for a word's end."""
    return frozenset(part.replace(".", " ").encode() for part in text.split(","))


def _lead(heads: str, *needs: str) -> Lead:
    return Lead(_begin(heads), tuple(map(_begin, needs)))


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        pytest.param(r"\b(?:my cards?)\b", [_lead("my.", "card.,cards.")], id="a whole word and one that may go on"),
        pytest.param(r"\b(?:(my|our) (\w+ ){0,2}bill)\b", [_lead("my.,our.", "bill.")], id="a word after a gap"),
        pytest.param(r"\b(?:(a b|c d))\b", [_lead("a.", "b."), _lead("c.", "d.")], id="each alternative by itself"),
        pytest.param(r"\b(?:i'?m (so )?off)\b", [_lead("i.,im.", "off.")], id="an optional word asks nothing"),
        pytest.param(r"\b(?:un(like)? me)\b", [_lead("un", "me.")], id="a word that a group may continue"),
        pytest.param(r"\b(?:foo ?bar)\b", [_lead("foo.,foobar.")], id="an optional blank"),
    ],
)
def test_what_a_match_needs_is_read_from_the_pattern(pattern: str, expected: list[Lead]) -> None:
    assert [lead._replace(sequel=None) for lead in leads(pattern)] == expected


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        pytest.param("my cards?", (1, "card.,cards."), id="the next word"),
        pytest.param(r"lost (\w+ ){0,3}(card|key)", (4, "card.,key."), id="behind a gap of any words"),
        pytest.param("lost (my |a lot of )?keys", (4, "keys."), id="behind a gap of certain words"),
        pytest.param("i'?ve lost", (1, "lost."), id="an apostrophe ends no token"),
        pytest.param("(i am|we|she) (very )?sad", (2, "am.,sad."), id="what any of the first words is followed by"),
        pytest.param("e-?mail lost", (1, "mail.,lost."), id="a hyphen that may be absent"),
        pytest.param(r"lost (\w+ )*keys", None, id="a gap without an end"),
        pytest.param(r"lost .{0,9}keys", None, id="a gap of any signs"),
        pytest.param("don[' ]t pay", None, id="a class with an apostrophe"),
        pytest.param("lost( keys)?", None, id="nothing that must follow"),
        pytest.param("lost", None, id="one word"),
    ],
)
def test_what_follows_the_first_word_of_a_match_is_read(pattern: str, expected: tuple[int, str] | None) -> None:
    (lead,) = leads(rf"\b(?:{pattern})\b")
    assert lead.sequel == (None if expected is None else Sequel(expected[0], _begin(expected[1])))


@pytest.mark.parametrize(
    "text",
    [
        "lost my keys",
        "lost, my own 'keys",
        "lost_my_keys",
        "lost it’s so… keys",
        "l'été lost d'un keys",
        "lost…x a b keys",
    ],
)
def test_what_follows_is_found_however_words_are_parted(text: str) -> None:
    pattern = r"\b(?:lost\w* (\w+ ){0,2}'?keys)\b"
    assert list(PatternSet([pattern], lazy=True).find(text)) == list(PatternSet([pattern]).find(text)) != []


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        pytest.param("burne[d] my hand", "burned my hand", id="a class of the letter d is no digit"),
        pytest.param("share[d]? (it )?publicly", "I shared it publicly", id="and may be absent"),
        pytest.param("foo{,2} please", "foo{,2} please", id="a brace that RE2 takes for itself"),
        pytest.param("foo{00} bar", "foo{00} bar", id="and another"),
        pytest.param("(" * 300 + "a" + ")" * 300, "a", id="many groups within each other"),
    ],
)
def test_what_is_written_unusually_is_found_all_the_same(pattern: str, text: str) -> None:
    bounded = [rf"\b(?:{pattern})\b"]
    assert list(PatternSet(bounded, lazy=True).find(text)) == list(PatternSet(bounded).find(text)) != []


SHIPPED = [rf"\b(?:{pattern})\b" for name in languages() for entry in page(name).signals.values()
           for pattern in entry.patterns]  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_the_patterns_that_ship_are_found_wherever_they_match(data: st.DataObject) -> None:
    pattern = data.draw(st.sampled_from(SHIPPED))
    matching = data.draw(st.from_regex(re.compile(pattern, re.ASCII), fullmatch=True))
    before = data.draw(st.sampled_from(["", "so ", "l'", "a-", "(", "… "]))
    after = data.draw(st.sampled_from(["", " x", ".", "'s", "…"]))
    text = f"{before}{matching}{after}"
    assert list(PatternSet([pattern], lazy=True).find(text)) == list(PatternSet([pattern]).find(text))


def test_a_pattern_that_cannot_be_read_takes_no_other_along() -> None:
    patterns = [rf"\b(?:{pattern})\b" for pattern in ("foo " + "(" * 495 + "a" + ")" * 495, "foo fire")]
    lazy = PatternSet(patterns, lazy=True)
    for _ in range(3):
        assert (1, 0, 8) in lazy.find("foo fire")


def test_a_pattern_with_very_many_ways_through_it_is_read_in_no_time() -> None:
    (lead,) = leads(r"\b(?:" + "(?:a-?|b-?)" * 40 + r"c foo)\b")
    assert lead.sequel is None


def test_a_word_in_many_places_is_found_in_each() -> None:
    found = PatternSet([r"\b(?:so late)\b"], lazy=True).find("so so_late. " * 40)
    assert [start for _, start, _ in found] == [12 * place + 3 for place in range(40)]


def test_a_lazy_set_refuses_what_re2_refuses_when_compiled() -> None:
    lazy = PatternSet([r"\bfine\b", r"\bbad\1\b"], lazy=True)
    assert list(lazy.find("fine")) == [(0, 0, 4)]
    with pytest.raises(PatternRefused) as refused:
        lazy.compile()
    assert refused.value.index == 1
    with pytest.raises(PatternRefused):
        list(lazy.find("bad"))


def test_words_are_what_stands_between_other_characters() -> None:
    assert FoldedText("L'été, e-mail_1 (ok)").words == {"l", "ete", "e", "mail_1", "ok"}
