"""Addresses of folders: what each means, and which are refused because they mean nothing that the next worker finds."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_provider_persona.storage.errors import StoreError
from airflow_provider_persona.storage.paths import as_local
from airflow_provider_persona.tasks.state_path import store_path


@pytest.mark.parametrize("name", ["a b", "100%", "a%20b", "q?x=1#f", "ü€😀"])
@pytest.mark.parametrize("scheme", ["", "file://"])
def test_a_local_name_may_hold_anything(tmp_path: Path, scheme: str, name: str) -> None:
    assert as_local(store_path(f"{scheme}{tmp_path}/{name}")) == tmp_path / name


@pytest.mark.parametrize("address", ["file:/data", "file://localhost/data", "file://data", "file:data", "FILE:/data"])
def test_an_address_of_a_file_that_would_mean_a_folder_below_the_present_one_is_refused(address: str) -> None:
    with pytest.raises(StoreError, match="write file:///folder, or the path alone"):
        store_path(address)


def test_the_home_folder_of_nobody_is_a_clear_error() -> None:
    with pytest.raises(StoreError, match=r"~nobody-of-this-name/x cannot be used here: there is no such home folder"):
        store_path("~nobody-of-this-name/x")
