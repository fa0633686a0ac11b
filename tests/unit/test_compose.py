"""compose.yaml, Dockerfile and their companions, held against the code that they run."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import typer
import yaml

from service import cli
from service.http import probes
from service.settings import Settings

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"].startswith("waybill:")}
# Nothing to ask them: compose.yaml says why.
UNCHECKED = {"relay", "mail-worker", "reconcile", "maintain"}
DOCKERFILE = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
ENV_EXAMPLE = (ROOT / ".env.example").read_text()

each_service = pytest.mark.parametrize("name", SERVICES)
each_of_ours = pytest.mark.parametrize("name", OURS)


def environment(name: str) -> dict[str, str]:
    variables: dict[str, str] = SERVICES[name].get("environment", {})
    return variables


def one_shot(name: str) -> bool:
    return bool(SERVICES[name]["restart"] == "no")


def seconds(duration: str) -> float:
    assert re.fullmatch(r"\d+s", duration)
    return float(duration.removesuffix("s"))


def instructions(keyword: str) -> list[str]:
    return re.findall(rf"^{keyword}\s+(.+)$", DOCKERFILE, re.MULTILINE)


def substitutions() -> dict[str, str]:
    """Every `${NAME:?message}` and `${NAME:-default}` of compose.yaml: what follows the colon, by name."""
    found: dict[str, str] = {}
    # Comments are no part of it.
    for name, rest in re.findall(r"\$\{(\w+)([^}]*)\}", yaml.safe_dump(COMPOSE, width=1000)):
        assert found.setdefault(name, rest) == rest
    return found


def examples() -> dict[str, str]:
    return dict(re.findall(r"^(\w+)=(.*)$", ENV_EXAMPLE, re.MULTILINE))


def test_the_services_are_those_of_the_design() -> None:
    assert set(OURS) == {"migrate", "sandbox-provider", "api", "relay", "mail-worker", "reconcile", "maintain"}
    assert set(SERVICES) - set(OURS) == {"postgres", "rabbitmq", "mailpit"}


@each_service
def test_every_image_is_pinned(name: str) -> None:
    assert re.fullmatch(r"[a-z0-9/]+:v?\d+\.\d+(\.\d+)?(-[a-z]+)?", SERVICES[name]["image"])


def test_the_base_image_is_pinned_to_a_patch_release() -> None:
    bases = {line.split()[0] for line in instructions("FROM")}
    assert len(bases) == 1
    assert re.fullmatch(r"python:3\.11\.\d+-slim-bookworm", bases.pop())


def test_our_image_has_our_version_is_built_once_and_never_fetched() -> None:
    assert {service["image"] for service in OURS.values()} == {f"waybill:{PROJECT['project']['version']}"}
    assert {service["pull_policy"] for service in OURS.values()} == {"never"}
    assert [name for name in SERVICES if "build" in SERVICES[name]] == ["migrate"]


@each_service
def test_no_secret_is_written_down(name: str) -> None:
    for key, value in environment(name).items():
        if re.search("PASS|SECRET|TOKEN", key):
            assert re.fullmatch(r"\$\{\w+:\?[^}]+\}", value), key
        if password := re.search(r"://[^:@/]+:(.*)@", value):
            assert re.fullmatch(r"\$\{\w+:\?[^}]+\}", password[1]), key


def test_the_example_names_every_variable_with_its_default_and_no_secret() -> None:
    assert set(examples()) == set(substitutions())
    for name, rest in substitutions().items():
        if rest.startswith(":?"):
            assert examples()[name] == ""
        else:
            assert rest == f":-{examples()[name]}"


def test_the_recipe_in_the_example_makes_passwords(tmp_path: Path) -> None:
    (tmp_path / ".env.example").write_text(ENV_EXAMPLE)
    recipe = "\n".join(re.findall(r"^#   (.*)$", ENV_EXAMPLE, re.MULTILINE))
    subprocess.run(["sh", "-euc", recipe], cwd=tmp_path, check=True)
    made = dict(re.findall(r"^(\w+)=(.*)$", (tmp_path / ".env").read_text(), re.MULTILINE))
    assert (tmp_path / ".env").stat().st_mode & 0o077 == 0
    passwords = [made[name] for name, example in examples().items() if not example]
    assert all(re.fullmatch("[0-9a-f]{48}", password) for password in passwords)
    assert len(set(passwords)) == len(passwords) == 3
    assert {name: value for name, value in made.items() if value not in passwords} == {
        name: value for name, value in examples().items() if value
    }


@each_service
def test_every_service_is_checked_or_ends(name: str) -> None:
    check = SERVICES[name].get("healthcheck", {})
    if one_shot(name):
        assert check == {}
    elif name in UNCHECKED:
        assert check == {"disable": True}
    else:
        assert check["test"][0] == "CMD"
        assert check["interval"]
        assert check["timeout"]
        assert check["retries"]


def test_the_api_is_asked_for_what_it_answers() -> None:
    asked = re.findall(r"http://127\.0\.0\.1:8080(/[^']*)", SERVICES["api"]["healthcheck"]["test"][-1])
    assert asked == ["/readyz"]
    assert "/readyz" in {route.path for route in probes.routes()}


@each_of_ours
def test_a_stop_waits_for_what_is_running(name: str) -> None:
    settings = Settings.model_validate({})
    assert seconds(SERVICES[name]["stop_grace_period"]) > settings.shutdown_timeout_s
    assert not {"WAYBILL_SHUTDOWN_TIMEOUT_S"} & set(environment(name))


@each_of_ours
def test_every_variable_is_a_setting(name: str) -> None:
    variables = {f"WAYBILL_{field.upper()}" for field in Settings.model_fields}
    assert set(environment(name)) <= variables


@each_of_ours
def test_every_command_is_one_of_ours(name: str) -> None:
    group = typer.main.get_group(cli.build())
    command, *arguments = SERVICES[name]["command"]
    # Parses names and options as the command line would, and runs nothing.
    group.commands[command].make_context(command, list(arguments))


@each_of_ours
def test_addresses_name_services_and_wait_for_them(name: str) -> None:
    waits = SERVICES[name].get("depends_on", {})
    if "WAYBILL_DATABASE_URL" in environment(name) and name != "migrate":
        assert waits["migrate"] == {"condition": "service_completed_successfully"}
    if "WAYBILL_AMQP_URL" in environment(name):
        assert waits["rabbitmq"] == {"condition": "service_healthy"}
    for key, value in environment(name).items():
        if key.endswith("_URL"):
            assert urlsplit(re.sub(r"\$\{[^}]*\}", "x", value)).hostname in SERVICES, key


@each_service
def test_it_waits_only_for_what_can_come_true(name: str) -> None:
    for other, wait in SERVICES[name].get("depends_on", {}).items():
        if wait["condition"] == "service_healthy":
            assert SERVICES[other]["healthcheck"]["test"]
        else:
            assert wait["condition"] == "service_completed_successfully"
            assert one_shot(other)


@each_service
def test_nothing_has_more_rights_than_it_needs(name: str) -> None:
    service = SERVICES[name]
    assert not re.match(r"(root|0)(:|$)", service["user"])
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["mem_limit"]
    assert "privileged" not in service
    # RabbitMQ writes below /etc; its image is not made for less.
    assert service.get("read_only", False) is (name != "rabbitmq")


@each_service
def test_ports_are_open_to_this_machine_only(name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))


@each_service
def test_what_is_stored_is_stored_on_a_named_volume(name: str) -> None:
    volumes = [volume.partition(":")[0] for volume in SERVICES[name].get("volumes", [])]
    assert set(volumes) <= set(COMPOSE["volumes"])
    assert bool(volumes) is (name in {"postgres", "rabbitmq", "sandbox-provider"})


def test_the_sandboxs_volume_is_the_users() -> None:
    _, target = SERVICES["sandbox-provider"]["volumes"][0].split(":")
    assert target in SERVICES["sandbox-provider"]["command"]
    assert re.search(rf"install .*--owner waybill .*{target}\b", DOCKERFILE)


def test_the_image_runs_as_a_user_of_its_own() -> None:
    assert instructions("USER") == ["10001:10001"]
    assert {service["user"] for service in OURS.values()} == {"10001:10001"}
    assert instructions("ENTRYPOINT") == ['["waybill"]']
    assert instructions("CMD") == []


def test_every_installation_in_the_image_is_checked_against_hashes() -> None:
    installations = re.findall(r"pip install [^&\n]*", DOCKERFILE)
    assert len(installations) == 3
    for installation in installations:
        assert "--require-hashes" in installation or "--no-index" in installation


def test_the_build_context_holds_what_is_copied_and_nothing_else() -> None:
    copied = {source for line in instructions("COPY") if "--from" not in line for source in line.split()[:-1]}
    patterns = (ROOT / ".dockerignore").read_text().splitlines()
    assert next(line for line in patterns if not line.startswith("#")) == "*"
    assert {line.removeprefix("!") for line in patterns if line.startswith("!")} == copied
    assert all((ROOT / source).exists() for source in copied)
    assert set(PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]) <= copied
    assert PROJECT["project"]["readme"] in copied


def pins(lock: str) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9.-]+)==(\S+)", (ROOT / lock).read_text(), re.MULTILINE))


def test_what_builds_the_image_is_what_builds_here() -> None:
    build = pins("requirements-build.lock")
    assert set(PROJECT["build-system"]["requires"]) <= set(build)
    assert build.items() <= pins("requirements-dev.lock").items()


def test_the_image_needs_nothing_of_the_development_stack() -> None:
    stack = [re.split(r"[<>=]", line)[0] for line in PROJECT["project"]["optional-dependencies"]["dev-stack"]]
    assert not set(stack) & set(pins("requirements.lock"))
    modules = [package.replace("-", "_") for package in stack]
    assert modules
    code = f"import sys; sys.modules.update(dict.fromkeys({modules!r})); import service.cli; service.cli.build()"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
