"""`waybill stores`: the settings of each store."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from schemas.problems import problems_of
from schemas.stores import SellerAddress, StoreAnswer, StoreChanges
from service.commands.database import with_database
from service.commands.output import print_json, print_table
from service.stores import Clearable, list_stores, save_store

app = typer.Typer(no_args_is_help=True, help="Settings of stores. An order of an unknown store creates it.")

_CLEARABLE: tuple[Clearable, ...] = ("currency", "sender", "seller_address")


@app.command("list")
def list_(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List all stores."""
    stores = with_database("stores", list_stores)
    if as_json:
        print_json([store.model_dump(by_alias=True) for store in stores])
    else:
        _print(stores)


@app.command("set")
def set_(
    code: Annotated[str, typer.Argument(metavar="CODE", help="Code of the store; a new one creates it.")],
    *,
    name: Annotated[str | None, typer.Option(help="As customers know it.")] = None,
    locale: Annotated[str | None, typer.Option(help="Language of orders that name none, such as sv-SE.")] = None,
    time_zone: Annotated[str | None, typer.Option(help="IANA name, such as Europe/Stockholm.")] = None,
    currency: Annotated[str | None, typer.Option(help='Currency of orders that name none; "" unsets it.')] = None,
    sender: Annotated[str | None, typer.Option(help='"Shop <mail@example.com>"; "" means WAYBILL_MAIL_SENDER.')] = None,
    seller_address: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FIELD=VALUE",
            help="Of the seller, for documents: repeat for name, street, street2, postalCode, city, region, country,"
            ' vatNumber, email, phone; or one JSON object; "" unsets it.',
        ),
    ] = None,
    send_shipping_confirmation: Annotated[
        bool | None,
        typer.Option("--send-shipping-confirmation/--no-send-shipping-confirmation", help="Mail customers."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Change a store's settings; what is not given stays as it is."""
    given: dict[str, Any] = {
        "name": name,
        "locale": locale,
        "time_zone": time_zone,
        "currency": currency,
        "sender": sender,
        "seller_address": _parse_seller_address(seller_address) if seller_address else None,
        "send_shipping_confirmation": send_shipping_confirmation,
    }
    cleared = [setting for setting in _CLEARABLE if given[setting] == ""]
    try:
        changes = StoreChanges(code=code, **{key: value for key, value in given.items() if key not in cleared})
    except ValidationError as error:
        raise typer.BadParameter("; ".join(problems_of(error))) from None
    store = with_database("stores", lambda connection: save_store(connection, changes, cleared=cleared))
    if as_json:
        print_json(store.model_dump(by_alias=True))
    else:
        _print([store])


def _parse_seller_address(parts: list[str]) -> Any:  # noqa: ANN401 - judged by the model
    if parts == [""]:
        return ""
    if len(parts) == 1 and parts[0].lstrip().startswith("{"):
        try:
            return json.loads(parts[0])
        except ValueError as error:
            raise typer.BadParameter(f"not valid JSON: {error}", param_hint="--seller-address") from None
    address = {}
    for part in parts:
        field, equals, value = part.partition("=")
        if not equals:
            raise typer.BadParameter(f"expected FIELD=VALUE, got {part!r}", param_hint="--seller-address")
        address[field.strip()] = value
    return address


def _print(stores: list[StoreAnswer]) -> None:
    print_table(
        ("code", "name", "locale", "time zone", "currency", "sender", "seller", "mails"),
        [
            (
                store.code,
                store.name,
                store.locale,
                store.time_zone,
                store.currency or "-",
                store.sender or "-",
                _seller(store.seller_address or {}),
                "yes" if store.send_shipping_confirmation else "no",
            )
            for store in stores
        ],
    )


def _seller(address: dict[str, str]) -> str:
    # In the sequence of the fields: the database keeps none.
    fields = [field.alias or name for name, field in SellerAddress.model_fields.items()]
    return ", ".join(address[field] for field in fields if field in address) or "-"
