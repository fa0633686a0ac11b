"""Everything that the tests break, by the names under which it stands in docs/faults.md."""

from __future__ import annotations

from typing import Any, Final

from tests.faults.kill_steps import STEPS
from tests.faults.network_faults import FAULTS as NETWORK_FAULTS

# A step has a row for each way in which its caller goes on, so that its own name is all there is to know.
KILLS: Final = tuple(f"{step.process}: {name}" for name, step in STEPS.items())
FAULTS: Final = tuple((fault.step, fault.name) for fault in NETWORK_FAULTS)
# None: load and memory, which have no table of their own.
KNOWN: Final = frozenset([None, *KILLS, *FAULTS])


def name_of(result: dict[str, Any]) -> str | tuple[str, str] | None:
    """Return by what name a result is known here."""
    match result["part"]:
        case "kill":
            return str(result["step"])
        case "server" | "network":
            return result["step"], result["fault"]
        case _:
            return None
