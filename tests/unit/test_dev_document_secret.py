from __future__ import annotations

from pathlib import Path

from service.dev.document_secret import document_secret
from service.settings import Settings


def test_a_secret_is_made_once_and_kept_for_its_owner_only(tmp_path: Path) -> None:
    file = tmp_path / "documents.json"
    made = document_secret(Settings(), file)
    assert document_secret(Settings(), file) == made
    assert file.stat().st_mode & 0o777 == 0o600
    assert Settings(documents_secret=made["WAYBILL_DOCUMENTS_SECRET"]).documents_secrets
    assert document_secret(Settings(), tmp_path / "other.json") != made


def test_the_environments_secret_wins(tmp_path: Path) -> None:
    file = tmp_path / "documents.json"
    theirs = "theirs-" + "s" * 32
    assert document_secret(Settings(documents_secret=theirs), file) == {"WAYBILL_DOCUMENTS_SECRET": theirs}
    assert not file.exists()
