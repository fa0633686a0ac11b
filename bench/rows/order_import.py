"""Orders imported from a file, as `waybill orders import` does it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

from bench.bench import Bench
from bench.measure.usage import Used
from bench.results import Round, Row
from service.dev.programs import waybill


def measure(bench: Bench) -> Iterator[Row]:
    """Yield one row; the time is the command's own, from the file's first line to its last."""
    rounds: list[Round] = []
    for number in range(bench.size.rounds):
        file = bench.servers.folder / f"orders-{number}.jsonl"
        write_orders(file, prefix=f"import-{number}", count=bench.size.import_orders)
        with bench.watch() as used:
            done = subprocess.run(
                waybill("orders", "import", "--json", str(file)),
                env=bench.servers.environment(),
                capture_output=True,
                text=True,
                check=False,
            )
        file.unlink()
        rounds.append(_round(bench, done, used))
    yield Row("Order import", f"{bench.size.import_orders} orders from a file", "/s", tuple(rounds))


def _round(bench: Bench, done: subprocess.CompletedProcess[str], used: Used) -> Round:
    if done.returncode:
        return Round(0, void=f"the import failed: {done.stderr[-200:]}")
    told = json.loads(done.stdout)
    void = "" if told["created"] == bench.size.import_orders else f"only {told['created']} created"
    # What is load elsewhere is here the command itself.
    used.cpu_s["import"] = used.cpu_s.pop("load")
    return bench.round(told["created"] / told["seconds"], used, units=told["created"], void=void)


def write_orders(file: Path, *, prefix: str, count: int) -> None:
    """Write `count` orders of two lines and one released shipment."""
    address = {
        "name": "Åsa Öberg",
        "street": "Storgatan 1",
        "postalCode": "111 22",
        "city": "Stockholm",
        "country": "SE",
    }
    with file.open("w") as lines:
        for number in range(count):
            order = {
                "orderNumber": f"{prefix}-{number}",
                "store": "bench",
                "currency": "SEK",
                "locale": "sv-SE",
                "customer": {"name": "Åsa Öberg", "email": f"asa{number}@example.com"},
                "shippingAddress": address,
                "payment": {"provider": "sandbox", "authorization": "sandbox:ok"},
                "shippingAmount": "49.00",
                "lines": [
                    {
                        "lineId": str(line),
                        "sku": f"SKU-{line}",
                        "name": f"Shirt, size {line}",
                        "quantity": line,
                        "unitPrice": "199.00",
                        "taxRate": "0.25",
                    }
                    for line in (1, 2)
                ],
                "shipments": [{"status": "RELEASED", "lines": {"1": 1, "2": 2}}],
            }
            lines.write(json.dumps(order, ensure_ascii=False) + "\n")
