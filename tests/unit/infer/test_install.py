"""Installing: whole or not at all, tried before it replaces, and no trust in an archive."""

from __future__ import annotations

import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bt_node.infer import install as module
from bt_node.infer import unpack
from bt_node.infer.install import Outcome, install
from bt_node.infer.release import Release, list_releases
from bt_node.infer.trial import find_problems
from bt_node.infer.unpack import InstallError

MakeRelease = Callable[..., Release]


@pytest.fixture
def make_release(make_release: MakeRelease) -> MakeRelease:
    """As training writes one: with a card that says what the release is for."""

    def make(name: str = "tiny", **tables: Any) -> Release:
        release = make_release(name, **tables)
        (release.folder / "MODEL_CARD.md").write_text("For research use only, not for diagnosis.")
        return release

    return make


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return tmp_path / "node" / "models"


def zipped(folder: Path, target: Path, prefix: str = "") -> Path:
    with zipfile.ZipFile(target, "w") as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, prefix + str(path.relative_to(folder)))
    return target


def held(models: Path) -> list[str]:
    return sorted(path.name for path in models.iterdir())


def test_a_folder_and_its_zip_install_under_name_and_version(
    make_release: MakeRelease, models: Path, tmp_path: Path
) -> None:
    folder = make_release("anything").folder
    (folder / "notes.docx").write_text("x")
    done = install(folder, models)
    assert (done.outcome, done.release.folder, done.left_out) == (Outcome.NEW, models / "tiny-0.0", ("notes.docx",))
    assert [release.folder.name for release in list_releases(models)] == ["tiny-0.0"]
    assert find_problems(done.release.folder) == ()
    archive = zipped(folder, tmp_path / "download (1).zip", prefix="some/")
    assert install(archive, models, name="second").release.folder == models / "second"
    assert install(archive, models).outcome is Outcome.UNCHANGED
    assert held(models) == ["second", "tiny-0.0"]


def test_other_content_under_a_taken_name_needs_replace(make_release: MakeRelease, models: Path) -> None:
    first = make_release("first")
    install(first.folder, models, name="tiny")
    other = make_release("other", training={"data": "something else"})
    with pytest.raises(InstallError, match=r"the weights are the same.*--replace"):
        install(other.folder, models, name="tiny")
    assert install(other.folder, models, name="tiny", replace=True).outcome is Outcome.REPLACED
    assert list_releases(models)[0].manifest.training == {"data": "something else"}
    assert held(models) == ["tiny"]


def test_a_damaged_release_never_takes_the_place_of_a_sound_one(make_release: MakeRelease, models: Path) -> None:
    install(make_release("sound").folder, models, name="tiny")
    damaged = make_release("damaged")
    content = bytearray(damaged.weights_path.read_bytes())
    content[-1] ^= 1
    damaged.weights_path.write_bytes(content)
    (damaged.folder / "MODEL_CARD.md").unlink()
    with pytest.raises(InstallError) as caught:
        install(damaged.folder, models, name="tiny", replace=True)
    assert "MODEL_CARD.md" in str(caught.value)
    assert "SHA-256" in str(caught.value)
    assert find_problems(models / "tiny") == ()
    assert held(models) == ["tiny"]


def test_a_failed_rename_leaves_the_old_release(
    make_release: MakeRelease, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(make_release("sound").folder, models, name="tiny")
    other = make_release("other", training={"data": "something else"})
    rename = Path.rename

    def fails(self: Path, target: Path) -> Path:
        if self.parent.name == "staged":
            raise OSError(28, "No space left on device")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fails)
    with pytest.raises(InstallError, match=r"No space left on device.*Nothing was changed"):
        install(other.folder, models, name="tiny", replace=True)
    assert list_releases(models)[0].manifest.training == {"data": "nothing"}
    assert held(models) == ["tiny"]


def test_a_full_disk_is_a_message(make_release: MakeRelease, small_disk: Path) -> None:
    (small_disk / "fill").write_bytes(bytes(1024 * 1024 - 8 * 1024))
    with pytest.raises(InstallError, match="No space left"):
        install(make_release().folder, small_disk / "models")
    assert held(small_disk / "models") == []


def test_all_problems_of_a_release_are_found_together(make_release: MakeRelease) -> None:
    release = make_release()
    manifest = release.folder / "manifest.toml"
    manifest.write_text(manifest.read_text().replace('dtype = "float16"', 'dtype = "float32"'))
    (release.folder / "MODEL_CARD.md").write_text("a fine model")
    problems = find_problems(release.folder)
    assert len(problems) == 3 - 1
    assert "research use only" in problems[0]
    assert "float16" in problems[1]


def test_weights_that_are_no_numbers_are_found(make_release: MakeRelease, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    import training.releases as writer

    halved = writer.halved
    monkeypatch.setattr(
        writer, "halved", lambda weights: {k: torch.full_like(v, torch.nan) for k, v in halved(weights).items()}
    )
    problems = find_problems(make_release().folder)
    assert any("not finite" in problem for problem in problems)
    assert any("forward pass" in problem for problem in problems)


# ---------------------------------------------------------------- archives that are not to be trusted


def archive_with(tmp_path: Path, *entries: tuple[zipfile.ZipInfo | str, bytes]) -> Path:
    path = tmp_path / "evil.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for entry, content in entries:
            archive.writestr(entry, content)
    return path


def symlink(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    return entry


@pytest.mark.parametrize("name", ["../out.txt", "/tmp/out.txt", "a/../../out.txt", "C:/out.txt"])
def test_entries_that_leave_the_archive_are_refused(tmp_path: Path, models: Path, name: str) -> None:
    with pytest.raises(InstallError, match="leads out"):
        install(archive_with(tmp_path, ("manifest.toml", b""), (name, b"x")), models)
    assert held(models) == []
    assert not (models.parent / "out.txt").exists()


def test_links_in_an_archive_are_refused(tmp_path: Path, models: Path) -> None:
    with pytest.raises(InstallError, match="link"):
        install(archive_with(tmp_path, (symlink("weights.safetensors"), b"/etc/passwd")), models)


def test_an_archive_that_unpacks_to_too_much_is_refused(
    tmp_path: Path, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpack, "LARGEST_BYTES", 1000)
    with pytest.raises(InstallError, match="GiB"):
        install(archive_with(tmp_path, ("manifest.toml", bytes(2000))), models)
    monkeypatch.setattr(unpack, "MOST_ENTRIES", 1)
    with pytest.raises(InstallError, match="2 entries"):
        install(archive_with(tmp_path, ("a", b""), ("b", b"")), models)


def test_a_broken_archive_and_an_empty_folder_are_named(tmp_path: Path, models: Path) -> None:
    broken = tmp_path / "broken.zip"
    broken.write_bytes(b"PK\x03\x04 and then nothing")
    with pytest.raises(InstallError, match="not a sound zip"):
        install(broken, models)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InstallError, match=r"neither manifest\.toml"):
        install(tmp_path / "empty", models)
    with pytest.raises(InstallError, match="no such folder"):
        install(tmp_path / "absent", models)


@pytest.mark.parametrize("name", ["model.pt", "model.ts", "weights.pth", "x.pkl"])
def test_pickles_are_refused_alone_and_inside_a_release(
    make_release: MakeRelease, tmp_path: Path, models: Path, name: str
) -> None:
    alone = tmp_path / name
    alone.write_bytes(b"x")
    with pytest.raises(InstallError, match="run code"):
        install(alone, models)
    release = make_release()
    (release.folder / name).write_bytes(b"x")
    with pytest.raises(InstallError, match="safetensors only"):
        install(release.folder, models)


@pytest.mark.parametrize("name", ["../up", "", ".hidden", "a/b", "x" * 65])
def test_a_name_that_is_no_folder_name_is_refused(make_release: MakeRelease, models: Path, name: str) -> None:
    with pytest.raises(InstallError, match="letters"):
        install(make_release().folder, models, name=name)


def test_an_install_that_is_under_way_is_not_listed(
    make_release: MakeRelease, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    monkeypatch.setattr(module, "_write_through", lambda folder: seen.append(len(list_releases(models))))
    install(make_release().folder, models)
    assert seen == [0]
