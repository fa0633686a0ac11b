"""Whether a reader of the old JSON Schema can still read what the new one describes. Pure.

The rule of the events: fields are only ever added. So nothing that was there may go, change its type, or cease to be
always present.
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]


def breaking_changes(old: Schema, new: Schema) -> list[str]:
    """Name each place where `new` takes something away from readers of `old`."""
    return list(_compare(old, new, old.get("$defs", {}), new.get("$defs", {}), "body"))


def _compare(old: Schema, new: Schema, old_defs: Schema, new_defs: Schema, where: str) -> list[str]:
    old, new = _resolve(old, old_defs), _resolve(new, new_defs)
    if (was := _types(old, old_defs)) != (now := _types(new, new_defs)):
        return [f"{where}: was {' or '.join(sorted(was))}, is {' or '.join(sorted(now))}"]
    problems = [f"{where}: was always {old['const']!r}"] if "const" in old and old["const"] != new.get("const") else []
    for name, field in old.get("properties", {}).items():
        if name not in new.get("properties", {}):
            problems.append(f"{where}.{name}: removed")
            continue
        if name in old.get("required", []) and name not in new.get("required", []):
            problems.append(f"{where}.{name}: no longer always present")
        problems += _compare(field, new["properties"][name], old_defs, new_defs, f"{where}.{name}")
    if "items" in old:
        problems += _compare(old["items"], new["items"], old_defs, new_defs, f"{where}[]")
    return problems


def _resolve(schema: Schema, definitions: Schema) -> Schema:
    while "$ref" in schema:
        schema = definitions[schema["$ref"].removeprefix("#/$defs/")]
    return schema


def _types(schema: Schema, definitions: Schema) -> set[str]:
    schema = _resolve(schema, definitions)
    if "anyOf" in schema:
        return set().union(*(_types(each, definitions) for each in schema["anyOf"]))
    kind = schema.get("type", "any")
    return set(kind) if isinstance(kind, list) else {kind}
