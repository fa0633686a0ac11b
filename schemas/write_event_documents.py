"""Write the events' documents: `python -m schemas.write_event_documents docs/events`.

Refuses to take anything away from readers of what is written there already.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from schemas.compatibility import breaking_changes
from schemas.event_schemas import asyncapi_document, event_schema, schema_file
from schemas.events import EventType


def documents() -> dict[str, dict[str, Any]]:
    """Return every document by its file name."""
    schemas = {schema_file(kind): event_schema(kind) for kind in EventType}
    return {"asyncapi.json": asyncapi_document(), **schemas}


def broken(folder: Path) -> list[str]:
    """Name what the present models would take away from readers of the schemas in `folder`."""
    found = []
    for path in sorted(folder.glob("*.schema.json")):
        new = documents().get(path.name)
        old = json.loads(path.read_text(encoding="utf-8"))
        found += (
            [f"{path.name}: removed"]
            if new is None
            else [f"{path.name}: {each}" for each in breaking_changes(old, new)]
        )
    return found


def main(folder: Path) -> int:
    """Write the documents into `folder`; return the exit code."""
    if problems := broken(folder):
        sys.stderr.write("Readers of the published events would break:\n" + "".join(f"  {each}\n" for each in problems))
        return 1
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in documents().items():
        (folder / name).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
