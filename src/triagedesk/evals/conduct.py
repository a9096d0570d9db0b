"""`eval run` from config to report: the one place that knows the order of its steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from triagedesk.errors import ConfigError
from triagedesk.evals.baselines import write_baselines
from triagedesk.evals.config import EvalConfig, check_prevalence, load_config
from triagedesk.evals.datasets import (
    CARD,
    Dataset,
    count_opening,
    file_hash,
    find_file,
    load_dataset,
    read_dataset,
    split_of,
)
from triagedesk.evals.folder import (
    COMPLETE,
    MANIFEST,
    STOPPED,
    RunFolder,
    new_folder,
    new_manifest,
    now,
    run_identity,
    unfinished,
)
from triagedesk.evals.gold import Gold
from triagedesk.evals.journal import asked_before
from triagedesk.evals.report import REPORT, write_report
from triagedesk.evals.results import write_results
from triagedesk.evals.run import Run, Watch, evaluate
from triagedesk.evals.sheet import Voice, make_sheet
from triagedesk.evals.systems import DeskSystem, Opened, System
from triagedesk.playbook import Playbook, load_playbook
from triagedesk.settings import Settings, default_cache_dir

VOICES: dict[str, Voice] = {
    "rules": "suggestion", "trained": "suggestion", "desk": "suggestion", "model": "opinion",
}  # fmt: skip
GUIDES = ("LABELS.md", CARD)

Begun = Callable[[RunFolder], None]


@dataclass(frozen=True)
class Wish:
    """What the command line adds to a config; None where nothing was said."""

    split: str | None = None
    limit: int | None = None
    k: int | None = None
    resume: bool = False
    retry_errors: bool = False
    cache: bool = True
    max_cost_usd: float | None = None
    runs: Path = Path("evals/runs")


@dataclass(frozen=True)
class Setup:
    """All that a run needs, read and checked before anything is asked."""

    config: EvalConfig
    playbook: Playbook
    dataset: Dataset
    rows: tuple[Gold, ...]
    prompt: str | None
    identity: str
    file: Path
    wish: Wish

    @property
    def root(self) -> Path:
        """The folder that holds `datasets/`."""
        return _root(self.file)

    def settings(self, k: int) -> Settings:
        """Return a repeat's desk settings: its cache belongs to this configuration and repeat alone."""
        settings = self.config.desk_settings()
        namespace = (settings.cache_dir or default_cache_dir()) / "evals" / self.identity[:16] / f"k{k}"
        keep = self.wish.cache and settings.cache
        return settings.model_copy(update={"cache_dir": namespace, "cache_url": None, "cache": keep})


def prepare(path: Path, wish: Wish) -> Setup:
    """Read config, playbook and data. Raises ConfigError with one line."""
    config = load_config(path)
    if wish.k is not None:
        config = config.model_copy(update={"k": wish.k})
    if wish.limit is not None and wish.limit < 1:
        raise ConfigError("--limit: give 1 or more; a run without rows measures nothing")
    playbook = load_playbook(config.playbook)
    try:
        check_prevalence(config.prevalence, playbook)
        config.desk_settings()
    except ConfigError as wrong:
        raise ConfigError(f"{path}: {wrong}") from None
    dataset = load_dataset(config, playbook, _root(path), split=wish.split, beside=path.parent)
    for train in config.train:
        find_file(config, split_of(config, train), _root(path), beside=path.parent)
    prompt = _prompt_identity(config)
    identity = run_identity(config, dataset, playbook, prompt)
    return Setup(config, playbook, dataset, dataset.rows[: wish.limit], prompt, identity, path, wish)


def _root(config: Path) -> Path:
    """Return the folder that holds `datasets/`: the config's own, or the one above it."""
    here = config.resolve().parent
    return next((folder for folder in (here, here.parent) if (folder / "datasets").is_dir()), here)


def _prompt_identity(config: EvalConfig) -> str | None:
    if not config.asks_a_model:
        return None
    from triagedesk.prompts import load_prompt

    return load_prompt(config.prompt).identity


def earlier_folder(setup: Setup) -> RunFolder | None:
    """Return the folder of this configuration's run that is to go on, or None where none is, or none was wished."""
    wish, config = setup.wish, setup.config
    if not (wish.resume or wish.retry_errors):
        return None
    folder = unfinished(wish.runs, config.name, setup.identity) if wish.resume else None
    return folder or _newest(wish.runs, config.name, setup.identity)


def open_folder(setup: Setup) -> RunFolder:
    """Return the folder of an unfinished run of this configuration on wish, else a new one."""
    return earlier_folder(setup) or _new_folder(setup)


def _new_folder(setup: Setup) -> RunFolder:
    wish, config = setup.wish, setup.config
    openings = count_opening(setup.dataset, config.name)
    folder = new_folder(wish.runs, config.name, setup.identity)
    known = new_manifest(
        config, setup.dataset, setup.playbook, prompt=setup.prompt, identity=setup.identity, rows=len(setup.rows),
        openings=openings,
    )  # fmt: skip
    folder.write(MANIFEST, known | {"config_file": str(setup.file.resolve()), "guides": _guides(setup.dataset)})
    return folder


def _guides(dataset: Dataset) -> dict[str, str]:
    """Return the hashes of what stands beside a labelled set and says how it was labelled."""
    beside = (dataset.path.with_name(name) for name in GUIDES)
    return {path.name: file_hash(path) for path in beside if path.is_file()}


def _newest(root: Path, name: str, identity: str) -> RunFolder | None:
    found = sorted(path.parent for path in root.glob(f"*_{name}_{identity[:8]}*/{MANIFEST}"))
    return RunFolder(found[-1]) if found else None


async def conduct(
    setup: Setup, folder: RunFolder | None = None, watch: Watch | None = None, begun: Begun | None = None
) -> Run:
    """Ask what is still to be asked, then score it and write everything down.

    Without a folder one is made once the desk is open, and told to `begun`: a run that cannot start leaves nothing,
    and opens no sealed split. Raises ConfigError.
    """
    system = DeskSystem(setup.settings)
    if folder is not None:
        return await _conduct(setup, system, folder, watch)
    async with Opened(system) as opened:
        folder = _new_folder(setup)
        if begun is not None:
            begun(folder)
        return await _conduct(setup, opened, folder, watch)


async def _conduct(setup: Setup, system: System, folder: RunFolder, watch: Watch | None) -> Run:
    config, wish = setup.config, setup.wish
    run = await evaluate(
        system, setup.rows, playbook=setup.playbook, k=config.k, seed=config.seed,
        draws=config.draws, concurrency=config.concurrency, voice=VOICES[config.system], journal=folder.predictions,
        retry_errors=wish.retry_errors, max_cost_usd=wish.max_cost_usd, watch=watch,
    )  # fmt: skip
    run = replace(run, prevalence=config.prevalence)
    write_results(folder, run)
    write_baselines(folder, run, setup)
    scores = run.metrics
    known = folder.manifest
    folder.write(MANIFEST, {
        **known, "dataset": {**known["dataset"], "asked": len(setup.rows)},
        "state": STOPPED if run.stopped else COMPLETE, "stopped": run.stopped, "ended_at": now(),
        "models": scores.models, "sources": scores.sources, "temperature": setup.settings(0).temperature,
        "cache": {"namespace": setup.identity[:16], "hits": scores.sources.get("cache", 0)},
    })  # fmt: skip
    write_report(folder.path / REPORT, run, title=config.name)
    return run


def _same_dataset(manifest: Mapping[str, Any], config: EvalConfig, playbook: Playbook) -> Dataset:
    """Read a run's set from the very file it was made on; where that is gone, from where its config says."""
    data, beside = manifest["dataset"], Path(manifest["config_file"])
    file = Path(data["file"])
    if not file.is_file():
        file = find_file(config, data["split"], _root(beside), beside=beside.parent)
    return read_dataset(file, config, playbook, data["split"])


def reopened(path: Path) -> tuple[RunFolder, Run]:
    """Read a run that ended, with the labelled rows that it was made on.

    Raises ConfigError when it is no run, or its labelled set or playbook is no longer what it was.
    """
    folder = RunFolder(path)
    manifest = folder.manifest
    data = manifest["dataset"]
    file = Path(manifest["playbook_file"]) if manifest["playbook_file"] else None
    playbook = load_playbook(file)
    config = EvalConfig.model_validate(manifest["config"] | {"playbook": file})
    dataset = _same_dataset(manifest, config, playbook)
    if dataset.sha256 != data["sha256"]:
        raise ConfigError(f"{path}: {dataset.path} has changed since this run; run it again")
    rows = dataset.rows[: data["asked"]]
    answers = asked_before(folder.predictions).values()
    sheet = make_sheet(rows, [one for one in answers if one.k < manifest["k"]], playbook, voice=VOICES[config.system])
    return folder, Run(sheet, config.draws, manifest["seed"], path, manifest.get("stopped"), config.prevalence)
