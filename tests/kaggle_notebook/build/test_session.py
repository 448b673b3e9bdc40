"""The generated notebook, cell by cell, with a bundle of this checkout and the contest's double."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from kaggle_notebook.build.notebook import NotebookSettings, notebook_text
from kaggle_notebook.bundle.manifest import (
    BundleFile,
    Kind,
    Manifest,
    Target,
    sha256_of,
    target_name,
)
from kaggle_notebook.bundle.wheels import build_project
from server.engine.rehearsal.problems import right_answer
from tests.kaggle_notebook.notebooks import SERVER, SITE, write_problems

ROOT = Path(__file__).resolve().parents[3]
SURE = "[rehearsal: right=1.0]"
#: It installs a bundle, starts a server and plays a session: half a minute on a busy machine.
LIMIT_S = 170.0


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    """An input folder whose bundle has this checkout's wheel; the rest is in the image."""
    bundle = tmp_path / "input" / "datasets" / "me" / "quorum-bundle"
    wheel = build_project(ROOT, bundle / "wheels")
    path = f"wheels/{wheel.path.name}"
    file = BundleFile(path, Kind.WHEEL, wheel.path.stat().st_size, sha256_of(wheel.path))
    target = Target({wheel.name: wheel.version})
    manifest = Manifest(wheel.version, (), "any", {target_name(): target}, (file,))
    (bundle / "manifest.json").write_text(manifest.text())
    return tmp_path / "input"


def cells(settings: dict[str, Any], inputs: Path) -> str:
    """Return the notebook's code as one program."""
    notebook = json.loads(notebook_text(NotebookSettings(settings=settings)))
    code = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    return "\n\n".join(code).replace('INPUT = "/kaggle/input"', f'INPUT = "{inputs}"', 1)


@pytest.mark.timeout(180)
def test_the_notebook_runs_from_a_bundle_to_submission_and_report(
    tmp_path: Path, inputs: Path
) -> None:
    rows: dict[str | None, str] = {f"p{n}": f"How many are {n}? {SURE}" for n in range(3)}
    write_problems(tmp_path, rows)
    contest = inputs / "competitions" / "olympiad"
    contest.mkdir(parents=True)
    (contest / "kaggle_evaluation").symlink_to(SITE / "kaggle_evaluation")
    (tmp_path / "problems.csv").rename(contest / "test.csv")
    settings = {
        "folder": str(tmp_path / "session"),
        "problems": 3,
        "limit_s": 150.0,
        "elapsed_s": 0,
        "server": SERVER,
    }
    # nothing of this checkout may be found but by the bundle: the double alone needs the tests
    program = f"import sys; sys.path.append({str(ROOT)!r})\n" + cells(settings, inputs)
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    done = subprocess.run(
        [sys.executable, "-P", "-c", program],
        cwd=tmp_path,
        env={**variables, "TMPDIR": str(temporary)},
        check=False,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    session = tmp_path / "session"
    logs = "\n".join(path.read_text() for path in session.glob("*.log"))
    assert done.returncode == 0, done.stderr + logs
    assert "bundle   ok" in done.stdout
    answers = dict(pl.read_parquet(tmp_path / "submission.parquet").iter_rows())
    expected = {name: right_answer(text) for name, text in rows.items()}
    assert {name: str(value) for name, value in answers.items()} == expected
    install = json.loads((session / "install.log").read_text().splitlines()[-1])
    assert Path(install["python"]).is_relative_to(temporary)
    report = json.loads((session / "report.json").read_text())
    assert report["rungs"] == {"vote": 3}
    assert report["server"]["starts"] == 1
    assert {"kernels", "bundle"} <= {finding["subject"] for finding in report["findings"]}
    for problem in report["problems"]:
        assert problem["votes"][0]["answer"] == str(problem["answer"])
        assert len(problem["attempts"]) == SERVER["solve.attempts"]
    assert "3 of 3 answered" in done.stdout
    assert (session / "report.html").exists()
