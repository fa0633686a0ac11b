from __future__ import annotations

import pytest

from service.commands.migrate import migrate
from service.settings import SettingsError


@pytest.mark.parametrize("login", ["", "waybill:a,b@"])
def test_a_list_of_servers_is_refused_instead_of_waited_for(monkeypatch: pytest.MonkeyPatch, login: str) -> None:
    monkeypatch.setenv("WAYBILL_DATABASE_URL", f"postgresql://{login}one:5432,two:5432/waybill")
    with pytest.raises(SettingsError, match=r"^WAYBILL_DATABASE_URL: .* primary alone"):
        migrate()
