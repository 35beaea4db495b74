"""Promise: a key has one job and its owner alone; rotation elsewhere is seen, retired public keys stay published."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from gateway.auth.keys import JOBS, KeyStore
from gateway.errors import OperatorError


def test_files_and_folder_belong_to_their_owner_alone(keys: KeyStore, tmp_path: Path) -> None:
    for job in JOBS:
        keys.current(job)
        keys.rotate(job)
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o700
    files = list((tmp_path / "keys").iterdir())
    assert len(files) == 2 * len(JOBS) + 1
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_each_job_has_a_key_of_its_own(keys: KeyStore) -> None:
    made = {job: keys.current(job) for job in JOBS}
    assert len({key.kid for key in made.values()}) == len(JOBS)
    assert {job: key.algorithm for job, key in made.items()} == JOBS
    assert keys.find("receipts", made["tokens"].kid) is None


def test_a_second_process_sees_the_first_ones_keys_and_rotations(tmp_path: Path) -> None:
    one, other = KeyStore(tmp_path / "keys"), KeyStore(tmp_path / "keys")
    first = one.current("tokens")
    assert other.current("tokens").kid == first.kid
    for _ in range(3):
        second = other.rotate("tokens")
        assert one.current("tokens").kid == second.kid
        assert one.find("tokens", second.kid) is not None


def test_retired_keys_stay_published_without_their_private_part(keys: KeyStore, tmp_path: Path) -> None:
    first = keys.current("tokens")
    second = keys.rotate("tokens")
    published = keys.public("tokens")["keys"]
    assert [key["kid"] for key in published] == [second.kid, first.kid]
    assert not any("d" in key for key in published)
    (retired,) = (tmp_path / "keys").glob(f"*{first.kid}*")
    assert '"d"' not in retired.read_text()


def test_no_private_part_in_a_repr(keys: KeyStore) -> None:
    key = keys.current("tokens")
    private = key.key.as_dict(private=True)["d"]
    assert str(private) not in repr(key) + str(key)


@pytest.mark.parametrize("part", ["folder", "file"])
def test_what_others_can_read_is_refused(tmp_path: Path, part: str) -> None:
    folder = tmp_path / "keys"
    made = KeyStore(folder).current("tokens")
    path = folder if part == "folder" else next(folder.glob("tokens.*"))
    path.chmod(0o755)
    with pytest.raises(OperatorError, match="chmod"):
        KeyStore(folder).current("tokens")
    assert made


def test_a_damaged_file_is_an_error_that_shows_nothing_of_it(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    KeyStore(folder).current("tokens")
    path = next(folder.glob("tokens.*"))
    path.write_text('{"job": "tokens", "d": "sensitive"')
    with pytest.raises(OperatorError) as caught:
        KeyStore(folder).current("tokens")
    assert "sensitive" not in str(caught.value)


def test_an_unknown_job_is_refused(keys: KeyStore) -> None:
    with pytest.raises(OperatorError, match="no such job"):
        keys.rotate("everything")
