"""The record as a folder of files."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from server.journal.commands import app
from server.journal.errors import ExportFailed
from server.journal.reader import JournalReader, SolveFilter
from server.page.export import PageOptions, export_pages
from tests.server.page.markup import dangers, parse
from tests.server.page.world import World


def test_files_link_to_each_other_and_to_nothing_else(world: World, tmp_path: Path) -> None:
    options = PageOptions(wanted=SolveFilter(text="6 * 7", problem_id="name of solve-a"))
    with JournalReader(world.journal.path) as reader:
        count = export_pages(reader, tmp_path, options)
    files = {path.name for path in tmp_path.iterdir()}
    assert count == len(files)
    assert {"index.html", "solve-a.html", "solve-a-0.html", "solve-a-1.html"} <= files
    assert "solve-b.html" not in files
    for path in tmp_path.iterdir():
        html = path.read_text(encoding="utf-8")
        assert dangers(html) == []
        targets = {str(a["href"]) for tag, a in parse(html).elements if tag == "a"}
        assert targets <= files | {"#main"}


def test_command_writes_tokens_and_hostile_text_as_text(world: World, tmp_path: Path) -> None:
    wanted = ["--journal", str(world.journal.path), "--end", "all_finished", "--tokens"]
    result = CliRunner().invoke(app, ["page", "--out", str(tmp_path / "out"), *wanted])
    assert result.exit_code == 0, result.output
    html = (tmp_path / "out" / "solve-hostile-0-tokens.html").read_text(encoding="utf-8")
    assert dangers(html) == []
    assert 'id="t=3"' in html


def test_folder_that_cannot_be_written_is_named(world: World, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    options = PageOptions(wanted=SolveFilter(limit=1))
    with (
        JournalReader(world.journal.path) as reader,
        pytest.raises(ExportFailed, match="--out"),
    ):
        export_pages(reader, tmp_path / "file", options)
