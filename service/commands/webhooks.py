"""`waybill webhooks`: partners who get their events by HTTP."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Annotated, Any, TypeVar

import typer
from pydantic import TypeAdapter, ValidationError

from consumers.settings import WrongSetting
from consumers.webhooks.answer import Answer, is_accepted
from consumers.webhooks.client import open_client
from consumers.webhooks.lookups import Lookups
from consumers.webhooks.reach import Reach, parse_reach
from consumers.webhooks.target import UnusableUrl
from schemas.events import EventType
from schemas.fields import Code, Text
from schemas.problems import problems_of
from service.commands.database import with_database
from service.commands.output import fail, print_json
from service.commands.webhook_deliveries import deliveries, retry
from service.commands.webhook_tables import print_endpoints, print_secret
from service.settings import SettingsError, load_settings
from service.webhooks import (
    DeliveriesWait,
    EndpointNotFound,
    NewEndpoint,
    add_endpoint,
    disable_endpoint,
    enable_endpoint,
    list_endpoints,
    remove_endpoint,
    rotate_secret,
    try_endpoint,
)
from service.wiring import PooledConnection

app = typer.Typer(no_args_is_help=True, help="Partners who get their events by HTTP.")

_Value = TypeVar("_Value")
_OVERLAP = re.compile(r"([0-9]{1,5})([mhd])")
_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}

EndpointId = Annotated[str, typer.Argument(metavar="ENDPOINT", help="The endpoint's id, as `list` shows it.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("add")
def add(
    *,
    partner: Annotated[str, typer.Option(help="Whose endpoint it is.")],
    url: Annotated[str, typer.Option(help="Where to send to, https://…")],
    event: Annotated[list[EventType] | None, typer.Option(help="Only this type; repeat for more.")] = None,
    store: Annotated[list[str] | None, typer.Option(help="Only this store's, by its code; repeat for more.")] = None,
    as_json: AsJson = False,
) -> None:
    """Add an endpoint and print its id and secret. From then on it gets every event that it wants."""
    name = _valid(Text, partner, "--partner")
    stores = [_valid(Code, code, "--store") for code in store or []]

    async def work(connection: PooledConnection) -> NewEndpoint:
        return await add_endpoint(
            connection,
            partner=name,
            url=url,
            event_types=event or [],
            stores=stores,
            reach=_reach(),
            resolver=Lookups(),
        )

    try:
        endpoint = _run(work)
    except UnusableUrl as unusable:
        raise typer.BadParameter(str(unusable), param_hint="--url") from None
    if endpoint.unknown_stores:
        typer.echo(f"There is no store {', '.join(endpoint.unknown_stores)} yet: is that its code?", err=True)
    print_secret(endpoint.id, endpoint.secret, as_json=as_json)


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List all endpoints, without their secrets."""
    print_endpoints(_run(list_endpoints), as_json=as_json)


@app.command("remove")
def remove(
    endpoint: EndpointId,
    *,
    discard: Annotated[bool, typer.Option("--discard", help="Also if deliveries wait; they are lost.")] = False,
) -> None:
    """Remove an endpoint and its history."""
    try:
        lost = _run(lambda connection: remove_endpoint(connection, endpoint, discard=discard))
    except DeliveriesWait as wait:
        raise fail(f"{wait} deliveries wait for {endpoint}; --discard removes them with it") from None
    typer.echo(f"{endpoint} is removed" + (f"; {lost} deliveries were discarded" if lost else ""))


@app.command("rotate")
def rotate(
    endpoint: EndpointId,
    *,
    overlap: Annotated[
        str, typer.Option(help="The old secret stays valid this long: 30m, 24h, 7d. 0m if it has leaked.")
    ] = "24h",
    as_json: AsJson = False,
) -> None:
    """Give an endpoint a new secret and print it. During the overlap every request has both signatures."""
    lasting = parse_overlap(overlap)
    secret = _run(lambda connection: rotate_secret(connection, endpoint, overlap=lasting))
    print_secret(endpoint, secret, as_json=as_json)


@app.command("enable")
def enable(
    endpoint: EndpointId,
    *,
    discard: Annotated[bool, typer.Option("--discard", help="Do not send what has waited.")] = False,
) -> None:
    """Enable an endpoint again; what has waited for it is sent now."""
    waited = _run(lambda connection: enable_endpoint(connection, endpoint, discard=discard))
    typer.echo(f"{endpoint} is enabled; {waited} deliveries were {'discarded' if discard else 'waiting'}")


@app.command("disable")
def disable(
    endpoint: EndpointId,
    *,
    reason: Annotated[str, typer.Option(help="For whoever asks why.")] = "by an operator",
) -> None:
    """Send an endpoint nothing until it is enabled. Its events wait."""
    text = _valid(Text, reason, "--reason")
    stands = _run(lambda connection: disable_endpoint(connection, endpoint, reason=text))
    typer.echo(f"{endpoint} is disabled: {stands}")


@app.command("test")
def try_(endpoint: EndpointId, as_json: AsJson = False) -> None:
    """Send a signed `waybill.test` event now and show what came back. Exit code 1 unless it was accepted."""
    timeout_s = load_settings().webhooks_timeout_s

    async def work(connection: PooledConnection) -> Answer:
        async with open_client(_reach(), resolver=Lookups(), timeout_s=timeout_s) as client:
            return await try_endpoint(connection, endpoint, client=client)

    answer = _run(work)
    accepted = is_accepted(answer)
    if as_json:
        print_json(
            {
                "accepted": accepted,
                "code": answer.code,
                "durationMs": round(answer.took_s * 1000),
                "error": answer.error,
                "excerpt": answer.excerpt,
            }
        )
    else:
        outcome = f"HTTP {answer.code}" if answer.code else str(answer.error)
        typer.echo(f"{'accepted' if accepted else 'failed'}: {outcome}, {answer.took_s * 1000:.0f} ms")
        if answer.excerpt:
            typer.echo(answer.excerpt)
    if not accepted:
        raise typer.Exit(1)


app.command("deliveries")(deliveries)
app.command("retry")(retry)


def parse_overlap(text: str) -> timedelta:
    """Return how long `--overlap` is. Raises `typer.BadParameter`."""
    found = _OVERLAP.fullmatch(text)
    if found is None:
        raise typer.BadParameter("expected minutes, hours or days such as 30m, 24h or 7d", param_hint="--overlap")
    return int(found[1]) * _UNITS[found[2]]


def _run(work: Callable[[PooledConnection], Awaitable[_Value]]) -> _Value:
    try:
        return with_database("webhooks", work)
    except EndpointNotFound as unknown:
        raise fail(f"no webhook endpoint has the id {unknown}") from None
    except WrongSetting as wrong:
        raise SettingsError(str(wrong)) from wrong


def _reach() -> Reach:
    return parse_reach(load_settings().webhooks_allowed_networks)


def _valid(kind: Any, value: str, option: str) -> str:  # noqa: ANN401 - a type with its checks
    try:
        return str(TypeAdapter(kind).validate_python(value))
    except ValidationError as error:
        raise typer.BadParameter("; ".join(problems_of(error)), param_hint=option) from None
