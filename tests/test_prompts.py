"""The prompt: a file that anybody may edit, rendered from the playbook, and one clear line when it is unusable."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llm_parts import HERE, PLAYBOOK
from triagedesk.classifiers.answer import answer_model
from triagedesk.errors import ConfigError
from triagedesk.playbook.load import parse_playbook
from triagedesk.prompts import load_prompt, question_json

MINIMAL = """---
name: mine
version: "2"
examples:
  - ticket: {body: "It burns."}
    answer:
      urgency: {quote: "It burns", reason: "Fire.", label: critical, confidence: 0.9}
---
Read the ticket.

{{dimensions}}

{{examples}}
"""


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "mine.md"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_the_shipped_prompt_has_eight_examples_that_the_answer_model_accepts() -> None:
    turns = load_prompt().turns(PLAYBOOK)
    assert len(turns) >= 8
    for _, answer in turns:
        answer_model(PLAYBOOK).model_validate_json(answer)


def test_every_quote_of_an_example_stands_in_its_ticket() -> None:
    for ticket, answer in load_prompt().turns(PLAYBOOK):
        words = json.loads(ticket)
        for said in json.loads(answer).values():
            if isinstance(said, dict):
                assert said["quote"] in words["subject"] or said["quote"] in words["body"]


def test_the_system_prompt_names_every_label_that_the_model_is_asked() -> None:
    text = load_prompt().render(PLAYBOOK)
    for dimension in PLAYBOOK.dimensions.values():
        for label in dimension.labels:
            assert f"- {label.name}: " in text
    assert "{{" not in text


def test_the_system_prompt_holds_nothing_of_a_ticket_so_that_prefix_caches_hit() -> None:
    first, second = (load_prompt().messages(PLAYBOOK) for _ in range(2))
    assert first == second
    assert [message["role"] for message in first[:3]] == ["system", "user", "assistant"]


def test_the_identity_changes_with_every_byte_of_the_file(tmp_path: Path) -> None:
    one = load_prompt(written(tmp_path, MINIMAL)).identity
    two = load_prompt(written(tmp_path, MINIMAL.replace("Read", "read"))).identity
    assert one.startswith("mine@")
    assert len(one) == len("mine@") + 12
    assert one != two


def test_an_example_that_leaves_a_dimension_out_goes_into_the_system_prompt(tmp_path: Path) -> None:
    prompt = load_prompt(written(tmp_path, MINIMAL))
    assert prompt.turns(PLAYBOOK) == ()
    assert '"quote":"It burns"' in prompt.render(PLAYBOOK)


def test_an_example_with_a_label_that_the_playbook_does_not_know_is_left_out(tmp_path: Path) -> None:
    prompt = load_prompt(written(tmp_path, MINIMAL.replace("label: critical", "label: apocalyptic")))
    assert "It burns" not in prompt.render(PLAYBOOK)


def test_a_dimension_that_the_model_is_not_asked_stands_nowhere(tmp_path: Path) -> None:
    text = (HERE / "small_playbook.yaml").read_text().replace("kind: ordinal", "kind: ordinal\n    ask_model: false")
    playbook = parse_playbook(text.encode())
    assert "apocalyp" not in load_prompt().render(playbook)
    assert "- critical:" not in load_prompt().render(playbook)
    assert all("critical" not in json.loads(answer) for _, answer in load_prompt().turns(playbook))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        pytest.param("no front matter at all", "front matter", id="no-front-matter"),
        pytest.param("---\nname: x\n", "front matter", id="front-matter-without-end"),
        pytest.param("---\nname: x\n---\n{{dimensions}}", "version", id="no-version"),
        pytest.param("---\nname: [x\n---\n{{dimensions}}", "YAML", id="broken-yaml"),
        pytest.param("---\nname: x\nversion: '1'\n---\nNo place.", "{{dimensions}}", id="no-place-for-labels"),
        pytest.param("---\nname: x\nversion: '1'\nextra: 1\n---\n{{dimensions}}", "extra", id="an-unknown-key"),
        pytest.param(b"---\nname: \xff\n---\n", "UTF-8", id="not-utf-8"),
        pytest.param("---\nname: x\n---\n" + "a" * 300_000, "larger", id="too-large"),
    ],
)
def test_an_unusable_prompt_is_told_in_one_line(tmp_path: Path, content: str | bytes, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_prompt(written(tmp_path, content))
    message = str(caught.value)
    assert says in message
    assert "mine.md" in message
    assert "\n" not in message


def test_a_prompt_file_that_is_missing_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="give a prompt file that exists"):
        load_prompt(tmp_path / "none.md")


def test_a_question_is_the_tickets_words_as_json_and_nothing_else() -> None:
    assert question_json("Ünï", 'a "b"\n') == '{"subject":"Ünï","body":"a \\"b\\"\\n"}'
    assert question_json("", "b", channel="voice", product=None) == '{"subject":"","body":"b","channel":"voice"}'
