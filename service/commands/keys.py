"""`waybill keys`: create, list and revoke API keys."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated

import typer
from pydantic import TypeAdapter, ValidationError

from schemas.fields import Text
from schemas.problems import problems_of
from service.commands.database import with_database
from service.commands.output import fail, print_json, print_table
from service.keys import Key, KeyNotFound, Scope, create_key, list_keys, revoke_key

app = typer.Typer(no_args_is_help=True, help="API keys of partners.")

_LIFETIME = re.compile(r"([1-9][0-9]{0,4})([hdw])")
_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


@app.command("create")
def create(
    *,
    partner: Annotated[str, typer.Option(help="Who will use the key.")],
    scope: Annotated[list[Scope], typer.Option(help="What the key may do; repeat for more.")],
    expires: Annotated[str, typer.Option(help="Lifetime (90d, 12h, 8w) or last day (2027-03-31, UTC).")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Create a key and print its id and secret. The secret is shown only here."""
    try:
        name = TypeAdapter(Text).validate_python(partner)
    except ValidationError as error:
        raise typer.BadParameter("; ".join(problems_of(error)), param_hint="--partner") from None
    expires_at = parse_expiry(expires, now=datetime.now(UTC)) if expires else None
    key = with_database(
        "keys", lambda connection: create_key(connection, partner=name, scopes=scope, expires_at=expires_at)
    )
    if as_json:
        print_json(
            {
                "id": key.id,
                "secret": key.secret,
                "partner": key.partner,
                "scopes": list(key.scopes),
                "expiresAt": _iso(key.expires_at),
            }
        )
        return
    typer.echo(f"id      {key.id}\nsecret  {key.secret}")
    typer.echo("Keep the secret now: only its hash is stored.", err=True)


@app.command("list")
def list_(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List all keys, newest first, without their secrets."""
    keys = with_database("keys", list_keys)
    if as_json:
        print_json([_as_json(key) for key in keys])
        return
    print_table(
        ("id", "partner", "state", "created", "expires", "revoked", "scopes"),
        [
            (
                key.id,
                key.partner,
                key.state,
                _minute(key.created_at),
                _minute(key.expires_at),
                _minute(key.revoked_at),
                " ".join(key.scopes),
            )
            for key in keys
        ],
    )


@app.command("revoke")
def revoke(key_id: Annotated[str, typer.Argument(metavar="ID", help="The key's id, as `list` shows it.")]) -> None:
    """Revoke a key; it stops working within five seconds. Revoking it again changes nothing."""
    try:
        revoked_at = with_database("keys", lambda connection: revoke_key(connection, key_id))
    except KeyNotFound:
        raise fail(f"no API key has the id {key_id}") from None
    typer.echo(f"{key_id} is revoked since {_minute(revoked_at)} UTC")


def parse_expiry(text: str, *, now: datetime) -> datetime:
    """Return when a key with this `--expires` ends. Raises `typer.BadParameter`."""
    if lifetime := _LIFETIME.fullmatch(text):
        return now + int(lifetime[1]) * _UNITS[lifetime[2]]
    try:
        last_day = date.fromisoformat(text)
        expires_at = datetime.combine(last_day + timedelta(days=1), time.min, UTC)
    except (ValueError, OverflowError):
        raise typer.BadParameter("expected 90d, 12h, 8w or a date such as 2027-03-31", param_hint="--expires") from None
    if expires_at <= now:
        raise typer.BadParameter("the date is in the past", param_hint="--expires")
    return expires_at


def _as_json(key: Key) -> dict[str, object]:
    return {
        "id": key.id,
        "partner": key.partner,
        "state": key.state,
        "scopes": list(key.scopes),
        "createdAt": _iso(key.created_at),
        "expiresAt": _iso(key.expires_at),
        "revokedAt": _iso(key.revoked_at),
    }


def _iso(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if moment else None


def _minute(moment: datetime | None) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M") if moment else "-"
