"""Whatever bytes come back, reading them ends in an answer of the playbook or in one of our errors."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_parts import HERE, PLAYBOOK
from misbehaving import answer_for, completion
from triagedesk.classifiers.answer import Answer, answer_model
from triagedesk.classifiers.faults import retry_after, translate
from triagedesk.classifiers.reply import read_completion
from triagedesk.errors import ModelError
from triagedesk.playbook.load import parse_playbook

MODEL = answer_model(PLAYBOOK)
GOOD: dict[str, Any] = answer_for(MODEL.model_json_schema())
TEXT = st.text(max_size=30)
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from(["choices", "message", "content", "finish_reason", "refusal", "tool_calls", "usage", "error"])
LIKE_A_REPLY = st.recursive(
    JSON, lambda inner: st.dictionaries(KEYS, inner, max_size=4) | st.lists(inner, max_size=2), max_leaves=10
)


def read(data: bytes, *, tools: bool = False) -> Answer | None:
    """Read a reply and its answer; None where one of our errors says why not."""
    try:
        return MODEL.model_validate_json(read_completion(data, tools=tools).text)
    except ModelError:
        return None


@given(st.binary(max_size=200) | LIKE_A_REPLY.map(lambda value: json.dumps(value).encode()), st.booleans())
def test_no_bytes_make_reading_raise_anything_but_our_errors(data: bytes, tools: bool) -> None:
    assert read(data, tools=tools) is None


@given(
    st.sampled_from(["urgency", "issue_type", "escalation"]),
    st.sampled_from(["quote", "reason", "label", "confidence", "factor", "more"]),
    JSON,
)
def test_an_answer_with_any_one_value_changed_is_in_the_playbook_or_refused(name: str, key: str, value: object) -> None:
    changed = {**GOOD, name: {**GOOD[name], key: value}}
    found = read(json.dumps(completion(changed)).encode())
    if found is not None:
        for dimension, said in found.said().items():
            assert said.label in PLAYBOOK.dimensions[dimension].names
            assert said.confidence is not None
            assert 0 <= said.confidence <= 1
            said.model_dump_json().encode("utf-8")


@given(TEXT)
def test_a_retry_after_is_no_wait_a_wait_of_up_to_a_day_or_endless(text: str) -> None:
    wait = retry_after({"retry-after": text})
    assert wait is not None
    assert 0 <= wait <= 86_400 or wait == float("inf")


@given(st.sampled_from([ValueError, TypeError, KeyError, RecursionError, AssertionError, IndexError, OSError]))
def test_an_unknown_error_becomes_bad_reply_without_its_words(kind: type[Exception]) -> None:
    ours = translate(kind("CANARY"))
    assert ours.reason == "bad_reply"
    assert "CANARY" not in str(ours)


def test_a_playbook_with_further_dimensions_is_asked_all_of_them() -> None:
    source = (HERE / "small_playbook.yaml").read_text()
    mood = """  mood:
    description: the tone
    fallback: calm
    fallback_reason: nothing found
    labels: [{name: angry, description: angry}, {name: calm, description: calm}]
"""
    playbook = parse_playbook(source.replace("tiers:", mood + "tiers:", 1).encode())
    model = answer_model(playbook)
    assert list(model.model_json_schema()["properties"]) == [
        "urgency",
        "issue_type",
        "escalation",
        "mood",
        "secondary_issues",
    ]
    assert model.schema_hash != MODEL.schema_hash
    answer = model.model_validate_json(json.dumps(answer_for(model.model_json_schema())))
    assert answer.said()["mood"].label == "angry"


def test_the_schema_is_computed_once() -> None:
    assert MODEL.model_json_schema() is MODEL.model_json_schema()


@pytest.mark.parametrize("secret", ["my words", "label", "urgency"])
def test_a_problem_names_only_keys_of_the_schema(secret: str) -> None:
    with pytest.raises(ModelError) as caught:
        MODEL.model_validate_json(json.dumps({**GOOD, "escalation": {**GOOD["escalation"], "my words": secret}}))
    assert "my words" not in str(caught.value)
    assert "escalation: unknown key" in str(caught.value)
