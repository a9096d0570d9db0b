"""The container files: confined services, pinned images, settings that the program takes, and a health check that runs.

`make lint` holds them to hadolint and to the Compose specification's schema; no container engine is needed here.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from desk_parts import clean_environment
from service_api_parts import until
from triagedesk.service.settings import ServiceSettings
from triagedesk.settings import Settings

ROOT = Path(__file__).parents[1]
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
VARIABLE = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")
GIVEN = {"POSTGRES_PASSWORD": "made-up", "MODEL_FILE": "/m.gguf", "LLAMA_CPP_IMAGE": "llama.cpp:server-b1"}

each_service = pytest.mark.parametrize("service", [pytest.param(made, id=name) for name, made in SERVICES.items()])


def filled(text: str) -> str:
    """Fill in variables as Compose does."""
    return VARIABLE.sub(lambda found: GIVEN.get(found[1]) or (found[3] if found[2] == "-" else ""), text)


def instruction(name: str) -> list[str]:
    """Return what stands behind an instruction of the Dockerfile, in order."""
    return [line.split(None, 1)[1] for line in DOCKERFILE.splitlines() if line.strip().startswith(f"{name} ")]


@each_service
def test_a_service_is_confined(service: dict[str, Any]) -> None:
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "/tmp" in service["tmpfs"]
    assert not {"privileged", "cap_add", "network_mode", "pid", "devices"} & service.keys()


@each_service
def test_an_image_has_a_tag_that_does_not_move_unseen(service: dict[str, Any]) -> None:
    _, _, tag = filled(service["image"]).rpartition(":")
    assert tag
    assert tag != "latest"


@each_service
def test_a_service_says_when_it_is_well_and_waits_only_for_those_that_do(service: dict[str, Any]) -> None:
    assert "healthcheck" in service or ("build" in service and instruction("HEALTHCHECK"))
    for name, how in service.get("depends_on", {}).items():
        assert how == {"condition": "service_healthy"}
        assert "healthcheck" in SERVICES[name]


@each_service
def test_no_secret_stands_in_the_file(service: dict[str, Any]) -> None:
    for name, value in service.get("environment", {}).items():
        if any(word in name for word in ("PASSWORD", "SECRET", "KEY", "TOKEN")):
            assert VARIABLE.fullmatch(value), name
        assert not re.search(r"://[^/@$]*:[^/@$]+@", value), name  # no password in an address


def test_every_variable_has_a_default_or_says_what_to_set() -> None:
    text = "\n".join(
        line for line in (ROOT / "compose.yaml").read_text("utf-8").splitlines() if not line.startswith("#")
    )
    found = VARIABLE.findall(text)
    assert len(found) == text.count("$")
    assert all(mark and said for _, mark, said in found)
    assert {name for name, mark, _ in found if mark == "?"} == GIVEN.keys()


def test_only_the_service_is_reached_from_outside_and_only_from_this_machine() -> None:
    published = {name: made["ports"] for name, made in SERVICES.items() if "ports" in made}
    assert list(published) == ["service"]
    assert all(port.startswith("127.0.0.1:") for port in published["service"])


def test_the_program_takes_the_settings_of_the_compose_file() -> None:
    environment = {name: filled(value) for name, value in SERVICES["service"]["environment"].items()}
    settings, service = Settings.from_env(environment), ServiceSettings.from_env(environment)
    taken = {f"TRIAGEDESK_{name.upper()}" for name in settings.model_fields_set}
    taken |= {f"TRIAGEDESK_SERVICE_{name.upper()}" for name in service.model_fields_set}
    assert {name for name in environment if name.startswith("TRIAGEDESK_")} == taken
    assert service.database_url.get_secret_value() == "postgresql://triagedesk:made-up@postgres:5432/triagedesk"
    hosts = {urlsplit(value).hostname for name, value in environment.items() if "_URL" in name}
    assert hosts == {"postgres", "valkey", "model"} <= SERVICES.keys()


def test_volumes_are_declared() -> None:
    named = {
        volume.split(":")[0] for made in SERVICES.values() for volume in made.get("volumes", ()) if volume[0].isalpha()
    }
    assert named == set(COMPOSE["volumes"])


def test_the_image_runs_as_nobody_who_may_change_it() -> None:
    user = instruction("USER")[-1]
    assert user.isdecimal()
    assert int(user) >= 10_000
    assert f"--uid {user} " in DOCKERFILE
    assert all("@sha256:" in image or re.search(r":\d", image) for image in instruction("FROM"))


def test_what_the_build_copies_is_there_and_not_ignored() -> None:
    let_in = {line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().split() if line.startswith("!")}
    copied = [word for line in instruction("COPY") if "--from" not in line for word in shlex.split(line)[:-1]]
    assert copied
    for name in copied:
        assert (ROOT / name).exists(), name
        assert name in let_in, name


def test_the_images_command_serves_and_its_health_check_tells(tmp_path: Path) -> None:
    told = dict(part.split("=", 1) for line in instruction("ENV") for part in shlex.split(line) if "=" in part)
    inside = {name: value.replace("/data", str(tmp_path)) for name, value in told.items() if name != "PATH"}
    environment = clean_environment(tmp_path, **inside, TRIAGEDESK_MODEL="rules")
    (command,), (check,) = (json.loads(line) for line in instruction("CMD")), re.findall(
        r"HEALTHCHECK.*?CMD (\[.*\])", DOCKERFILE
    )  # fmt: skip
    ours = [sys.executable, "-m", *command[:-1], "0"]  # any free port
    refused = subprocess.run(ours, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert refused.returncode == 2
    assert "there is no API key" in refused.stderr
    subprocess.run(
        [sys.executable, "-m", "triagedesk", "keys", "create", "helpdesk", "--scope", "suggest"], env=environment,
        capture_output=True, timeout=60, check=True,
    )  # fmt: skip
    with subprocess.Popen(ours, env=environment, stderr=subprocess.PIPE, text=True) as serving:
        try:
            assert serving.stderr is not None
            port = re.search(r":(\d+) ", serving.stderr.readline())
            assert port is not None
            until(lambda: healthy(check, port[1]), 30)
        finally:
            serving.send_signal(getattr(signal, instruction("STOPSIGNAL")[0]))
            try:
                assert serving.wait(20) == 0
            finally:
                serving.kill()
    assert not healthy(check, port[1])


def healthy(check: str, port: str) -> bool:
    """Run the image's health check against a port."""
    python, *rest = json.loads(check.replace(":8080/", f":{port}/"))
    assert python == "python"
    done = subprocess.run([sys.executable, *rest], capture_output=True, env=dict(os.environ), timeout=10, check=False)
    return done.returncode == 0
