"""The site's key: made once, private, checked."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bt_node.domain.errors import SiteKeyError
from bt_node.runtime.site_key import check_key, site_key


def test_a_key_is_made_at_first_use_with_mode_0600_and_stays(tmp_path: Path):
    path = tmp_path / "var" / "follow-up.key"
    assert "will be made" in check_key(path)
    key = site_key(path)
    assert len(key) == 32
    assert path.stat().st_mode & 0o777 == 0o600
    assert site_key(path) == key
    assert check_key(path) == f"key at {path}"
    assert [file.name for file in path.parent.iterdir()] == ["follow-up.key"]


def test_workers_that_start_together_get_one_key(tmp_path: Path):
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(lambda _: site_key(tmp_path / "k"), range(32)))) == 1


@pytest.mark.parametrize(
    ("content", "why"), [("not hex", "hexadecimal"), ("ab" * 16, "holds 16 bytes"), ("", "holds 0")]
)
def test_a_file_that_holds_no_key_is_refused_and_kept(tmp_path: Path, content: str, why: str):
    path = tmp_path / "k"
    path.write_text(content)
    for use in (site_key, check_key):
        with pytest.raises(SiteKeyError, match=why):
            use(path)
    assert path.read_text() == content


def test_a_key_that_others_may_read_fails_the_check(tmp_path: Path):
    path = tmp_path / "k"
    site_key(path)
    path.chmod(0o604)
    with pytest.raises(SiteKeyError, match=r"0604.*chmod 600"):
        check_key(path)


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SiteKeyError, match="cannot be made"):
        site_key(tmp_path / "file" / "k")
