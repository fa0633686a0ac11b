"""What `waybill dev` says at the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from rich.console import Console

from service.dev.backing import Backing
from service.dev.first_steps import FirstSteps, curl_line


class Narrator:
    """Tells the person at the terminal what happens and what can be done next."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def step(self, text: str) -> None:
        """Say what begins now."""
        self._console.print(f"{text} …", style="dim", markup=False, highlight=False)

    def note(self, text: str) -> None:
        """Say something worth knowing."""
        self._console.print(text, style="yellow", markup=False, highlight=False, soft_wrap=True)

    def ready(self, *, api_url: str, backing: Backing, steps: FirstSteps, folder: Path) -> None:
        """Give all addresses and the first thing to try."""
        self._console.print("\nWaybill is ready.\n", style="bold green")
        for name, value in _addresses(api_url, backing, folder):
            # Never wrapped: an address in two lines can be neither clicked nor copied.
            self._console.print(f"  {name:<22}{value}", soft_wrap=True, markup=False, highlight=False)
        curl = curl_line(steps, api_url=api_url)
        if curl:
            self._console.print(
                f"\nComplete shipment {steps.shipment_number}, then look into the inbox:\n", highlight=False
            )
            self._console.print(curl, style="bold", markup=False, highlight=False, soft_wrap=True)
        else:
            self._console.print("\nNo shipment is waiting to be completed; send one in, or start over with --fresh.")
        self._console.print(
            f"\nCtrl-C stops everything; the data stays in {folder}.\n", highlight=False, soft_wrap=True
        )

    def stopping(self) -> None:
        """Say that the end has begun."""
        self._console.print("Stopping …", style="dim")


def _addresses(api_url: str, backing: Backing, folder: Path) -> Iterator[tuple[str, str]]:
    yield "API", api_url
    yield "API documentation", f"{api_url}/docs"
    if backing.inbox_url:
        yield "Inbox", backing.inbox_url
    if backing.amqp_page_url:
        page = urlsplit(backing.amqp_page_url)
        yield (
            "RabbitMQ",
            f"{page.scheme}://{page.hostname}:{page.port}  (user {page.username}, password {page.password})",
        )
    yield "Logs", str(folder / "logs")
    yield "All of this as JSON", str(folder / "dev.json")
