"""The second line: who answers without the model, what is held over it, and where it spares the model."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from desk_parts import default_playbook, fake_model, label, settings, ticket
from llm_parts import run
from triagedesk import Desk, Suggestion, open_desk
from triagedesk.batch import Job, Tally, run_batch
from triagedesk.cli.batch_summary import summarise
from triagedesk.confidence import CalibrationCurve, DimensionCalibration, Entry
from triagedesk.errors import ConfigError
from triagedesk.models import Choice, Classification, ConfidenceKind, Reason, Source
from triagedesk.reading import Reading
from triagedesk.remembered import View
from triagedesk.second_line import SecondLine
from triagedesk.settings import Settings

QUESTION = "Where can I find the opening hours of the shop?"
MEASURED = ConfidenceKind.MEASURED
BURNING = "The charger caught fire and burnt my hand."


@dataclass
class Sworn:
    """A trained classifier that always says the same, as sure as it is told to be."""

    confidence: float = 0.97
    asked: int = 0
    identity: str = "sworn@00000000"

    def classify(self, reading: Reading, rules: Classification) -> Classification:
        """Say "a cheap question about a product"."""
        self.asked += 1
        said = {"urgency": "low", "issue_type": "product_inquiry", "escalation": "none"}
        quote = Reason(text="These words speak for it.", quote=reading.ticket.body[:5], field="body", start=0, end=5)
        return Classification(labels={
            name: Choice(label=each, confidence=self.confidence, confidence_kind=MEASURED, reasons=(quote,))
            for name, each in said.items()
        })  # fmt: skip


def suggested(second_line: SecondLine, body: str = QUESTION, **given: object) -> Suggestion:
    """Suggest with no model at hand."""
    desk = Desk(Settings(**given), default_playbook(), second_line=second_line)
    return run(lambda: desk.suggest(ticket(body)))


def test_a_trained_classifier_answers_where_no_model_is_set_up_and_says_who_it_is() -> None:
    found = suggested(SecondLine(Sworn()))
    assert found.provenance.source is Source.TRAINED
    assert found.provenance.model == "trained/sworn@00000000"
    assert found.provenance.fallback_reason == "no_model"
    assert (found.labels["issue_type"].label, found.labels["issue_type"].confidence) == ("product_inquiry", 0.97)


def test_the_trained_classifier_by_choice_is_no_fallback() -> None:
    assert suggested(SecondLine(Sworn()), model="trained").provenance.fallback_reason is None


def test_the_floors_of_the_rules_stand_over_a_trained_classifier() -> None:
    found = suggested(SecondLine(Sworn()), BURNING)
    assert label(found) == "critical"
    assert found.labels["urgency"].confidence is None, "the floor's label was not measured by the classifier"
    assert found.labels["escalation"].label != "none"


def test_a_failing_model_leaves_the_answer_to_the_trained_classifier_with_its_reason() -> None:
    async def work() -> Suggestion:
        async with open_desk(settings()) as opened:
            desk = Desk(opened.settings, opened.playbook, opened._asking, second_line=SecondLine(Sworn()))
            return await desk.suggest(ticket(QUESTION), deadline_s=2)

    with fake_model() as model:
        model.says = lambda seen: httpx.Response(401, json={})
        found = run(work)
    assert (found.provenance.source, found.provenance.fallback_reason) == (Source.TRAINED, "auth")


@pytest.mark.parametrize(("confidence", "asked"), [(0.97, 0), (0.80, 1)], ids=["sure", "not sure enough"])
def test_a_cascade_asks_the_model_only_where_the_second_line_is_not_sure(confidence: float, asked: int) -> None:
    async def work() -> Suggestion:
        async with open_desk(settings()) as opened:
            second = SecondLine(Sworn(confidence), cascade=0.9)
            return await Desk(opened.settings, opened.playbook, opened._asking, second_line=second).suggest(
                ticket(QUESTION), deadline_s=5
            )

    with fake_model() as model:
        found = run(work)
        assert len(model.sent) == asked
    assert found.provenance.source is (Source.MODEL if asked else Source.TRAINED)
    assert found.provenance.fallback_reason is None


def test_one_unsure_dimension_is_enough_to_ask() -> None:
    class Half(Sworn):
        def classify(self, reading: Reading, rules: Classification) -> Classification:
            made = super().classify(reading, rules)
            unsure = made.labels["escalation"].model_copy(update={"confidence": 0.4})
            return made.model_copy(update={"labels": {**made.labels, "escalation": unsure}})

    view = _view()
    assert SecondLine(Half(), cascade=0.5).sureness(view) == 0.4
    assert not SecondLine(Half(), cascade=0.5).spares_the_model(view)


def _view() -> View:
    """Read a ticket as the desk does."""
    return Desk(Settings(model="rules"), default_playbook())._view(ticket(QUESTION), overdue=False)


def test_rules_that_nobody_measured_never_spare_the_model() -> None:
    with pytest.raises(ConfigError, match="cascade"):
        SecondLine(None, cascade=0.5)
    assert not SecondLine(None).spares_the_model(_view())


def test_calibrated_rules_spare_the_model_as_often_as_they_are_right() -> None:
    rate = DimensionCalibration(curve=CalibrationCurve(method="rate", rate=0.93))
    names = ("urgency", "issue_type", "escalation")
    entry = Entry(source="rules", playbook="0" * 64, dimensions=dict.fromkeys(names, rate))
    assert SecondLine(None, cascade=0.9, rules_measured=entry).spares_the_model(_view())
    assert not SecondLine(None, cascade=0.95, rules_measured=entry).spares_the_model(_view())


def test_a_trained_classifier_reads_a_ticket_once_however_often_it_is_asked() -> None:
    sworn, view = Sworn(), _view()
    line = SecondLine(sworn, cascade=0.5)
    assert line.spares_the_model(view)
    assert line.answer(view) is line.answer(view)
    assert sworn.asked == 1


def opened_with(**given: object) -> str:
    """Open a desk, and return who answers a question."""

    async def work() -> str:
        async with open_desk(Settings(**given)) as desk:
            return (await desk.suggest(ticket(QUESTION))).provenance.source.value

    return run(work)


def a_playbook_without_one(folder: Path) -> Path:
    """Write a playbook that no trained classifier stands beside."""
    file = folder / "own.yaml"
    file.write_bytes(Path(default_playbook().where).read_bytes())
    return file


def test_rules_answer_for_a_playbook_without_a_trained_classifier(tmp_path: Path) -> None:
    assert opened_with(playbook=a_playbook_without_one(tmp_path)) == "rules"


def test_trained_without_a_trained_classifier_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="triagedesk train"):
        opened_with(playbook=a_playbook_without_one(tmp_path), model="trained")


def test_a_file_that_is_no_trained_classifier_is_refused_where_it_was_asked_for_and_else_passed_over(
    tmp_path: Path,
) -> None:
    file = a_playbook_without_one(tmp_path)
    beside = file.with_suffix(".trained.safetensors")
    beside.write_bytes(b"not safetensors")
    assert opened_with(playbook=file) == "rules"
    with pytest.raises(ConfigError, match=r"own\.trained\.safetensors"):
        opened_with(playbook=file, trained=beside)


def test_a_batch_with_a_cascade_asks_about_the_unsure_alone_and_says_what_that_saved(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    words = (
        "I forgot my password and need a reset link",
        "I was charged twice, please refund",
        "Hm?",
        "About that thing",
    )
    source.write_text("".join(json.dumps({"id": f"t{i}", "body": body}) + "\n" for i, body in enumerate(words)))

    async def work() -> Tally:
        given = settings(second_line="trained", cascade=0.6, price_prompt=1.0, price_completion=4.0)
        async with open_desk(given) as desk:
            return await run_batch(desk, Job(source, target))

    with fake_model() as model:
        tally = run(work)
        assert len(model.sent) == tally.sources["model"]
    assert 0 < tally.spared < len(words)
    assert tally.spared + tally.sources["model"] == len(words)
    summarise(tally, target)
    told = " ".join(capsys.readouterr().err.split())
    assert f"model spared {tally.spared} (" in told
    assert "tokens, $0.0" in told


@pytest.mark.parametrize(
    "text", ["The app crashes when I open report {}", "Please cancel contract {}", "Ma facture {} est fausse"]
)
def test_what_an_order_is_numbered_changes_no_label(text: str) -> None:
    async def work() -> set[tuple[str, ...]]:
        async with open_desk(Settings(model="trained")) as desk:
            found = [await desk.suggest(ticket(text.format(number))) for number in ("7", "123", "4711", "881233")]
            return {tuple(choice.label for choice in one.labels.values()) for one in found}

    assert len(run(work)) == 1


@pytest.mark.parametrize("text", ["?", "! !", "!!!! zzzz", "😀😀"], ids=["question", "signs", "no-word", "emoji"])
def test_where_nothing_is_said_nothing_is_sure(text: str) -> None:
    async def work() -> Suggestion:
        async with open_desk(Settings(model="trained")) as desk:
            return await desk.suggest(ticket(text))

    found = run(work)
    assert found.needs_review
    assert max(choice.confidence or 0.0 for choice in found.labels.values()) < 0.8


def test_a_label_that_a_floor_holds_is_not_doubted_and_its_escalation_quotes_the_same_words() -> None:
    async def work() -> Suggestion:
        async with open_desk(Settings(model="trained")) as desk:
            return await desk.suggest(ticket("My charger started smoking, please tell me which cable to buy"))

    found = run(work)
    assert label(found) == "critical"
    assert found.labels["urgency"].confidence is None or found.labels["urgency"].confidence > 0.5
    assert "ungrounded_reason" not in found.review_reasons
    assert "smoking" in (found.labels["escalation"].reasons[0].quote or "")
