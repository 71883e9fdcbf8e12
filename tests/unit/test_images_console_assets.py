"""The console's JavaScript libraries: locked by content, and only those that pages load reach the image."""

import json
from pathlib import Path

from images import console_assets, inventory


def locked() -> dict[str, dict[str, object]]:
    packages = json.loads(console_assets.LOCK.read_text())["packages"]
    return {where: said for where, said in packages.items() if where}


def test_each_library_is_locked_by_its_content_and_by_no_registry() -> None:
    assert locked()
    for where, said in locked().items():
        assert str(said["integrity"]).startswith("sha512-"), where
        assert "resolved" not in said, where


def test_what_pages_load_is_no_tool_of_the_tests() -> None:
    loaded = {Path(source).parts[0] for source in console_assets.FILES}
    assert {one.name: one.licences for one in inventory.javascript(console_assets.LOCK)} == {"cytoscape": ("MIT",)}
    assert loaded == {"cytoscape"}
    assert "node_modules/axe-core" in locked()


def test_only_what_is_named_is_laid_out(tmp_path: Path) -> None:
    for source in (*console_assets.FILES, "cytoscape/dist/other.js"):
        (tmp_path / "node_modules" / source).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "node_modules" / source).write_text(source)
    (tmp_path / "vendor").mkdir()
    (tmp_path / "vendor" / "of-an-earlier-lock.mjs").touch()
    console_assets.lay_out(tmp_path / "node_modules", tmp_path / "vendor")
    found = {path.name: path.read_text() for path in (tmp_path / "vendor").iterdir()}
    assert found == {name: source for source, name in console_assets.FILES.items()}


def test_a_changed_lock_is_another_stage(tmp_path: Path, monkeypatch) -> None:
    before = console_assets.stage().id
    other = tmp_path / "package-lock.json"
    other.write_text(console_assets.LOCK.read_text().replace("sha512-", "sha512-x"))
    monkeypatch.setattr(console_assets, "PROJECT", (console_assets.PROJECT[0], other))
    assert console_assets.stage().id != before
