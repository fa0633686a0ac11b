from __future__ import annotations

import os
from pathlib import Path

import pytest

from service.dev.children import StartError
from service.dev.data_folder import empty, open_data_folder


def test_a_folder_is_made_and_can_be_opened_again(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "data"
    for _ in range(2):
        with open_data_folder(folder):
            (folder / "kept").touch()
    assert (folder / "kept").exists()


def test_a_folder_in_use_is_refused_with_the_process_that_uses_it(tmp_path: Path) -> None:
    refusal = rf"already runs on .*data \(process {os.getpid()}\)"
    with (
        open_data_folder(tmp_path / "data"),
        pytest.raises(StartError, match=refusal),
        open_data_folder(tmp_path / "data"),
    ):
        pass


def test_a_folder_with_somebody_elses_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(StartError, match="did not make"), open_data_folder(tmp_path):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StartError, match="cannot be used: File exists"), open_data_folder(tmp_path / "file"):
        pass


def test_emptying_deletes_the_data_but_nothing_behind_a_link(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").touch()
    folder = tmp_path / "data"
    with open_data_folder(folder):
        (folder / "postgres").mkdir()
        (folder / "postgres" / "PG_VERSION").touch()
        (folder / "dev.json").touch()
        (folder / "link").symlink_to(outside)
        empty(folder)
        with pytest.raises(StartError, match="already runs"), open_data_folder(folder):
            pass
    with open_data_folder(folder):
        assert not {path.name for path in folder.iterdir()} & {"postgres", "dev.json", "link"}
    assert (outside / "precious").exists()
