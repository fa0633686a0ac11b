"""Reads the Order API's XML by its JSON: equal field by field, or the test fails at the path that differs."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree as ET


def assert_same(xml: str, body: Any) -> None:
    """Fail unless the XML document says what the JSON `body` says, with nothing added and in the same order."""
    root = ET.fromstring(xml)
    assert root.tag == "response"
    _assert_same(root, body, "response")


def _assert_same(element: ET.Element, value: Any, path: str) -> None:
    if isinstance(value, dict):
        names = [child.get("key") if child.tag == "entry" else child.tag for child in element]
        assert names == list(value), path
        for child, (name, item) in zip(element, value.items(), strict=True):
            _assert_same(child, item, f"{path}.{name}")
    elif isinstance(value, list):
        assert len(element) == len(value), path
        assert {child.tag for child in element} <= {element.tag.removesuffix("s"), "entry"}, path
        for index, (child, item) in enumerate(zip(element, value, strict=True)):
            _assert_same(child, item, f"{path}[{index}]")
    else:
        assert len(element) == 0, path
        assert (element.text or "") == _text(value), path


def _text(value: Any) -> str:
    return {None: "", True: "true", False: "false"}[value] if value is None or isinstance(value, bool) else str(value)
