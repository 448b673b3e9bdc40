"""What runs before the bundle is installed needs the standard library alone, zipped too."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULES = (
    "kaggle_notebook.start",
    "kaggle_notebook.predict",
    "kaggle_notebook.serve",
    "kaggle_notebook.supervisor",
)
#: Answers without the image's packages: in a dictionary. In timing mode no server is needed.
CODE = """
import importlib, json, sys
sys.path.insert(0, sys.argv[1])
for name in json.loads(sys.argv[2]):
    importlib.import_module(name)
from kaggle_notebook.predict import predict
from kaggle_notebook.start import start
start({"folder": sys.argv[3], "mode": "timing", "timing_s": 0})
print(json.dumps([predict("a", "What?"), sorted({name.partition(".")[0] for name in sys.modules})]))
"""


@pytest.mark.parametrize("zipped", [False, True])
def test_it_needs_the_standard_library_alone(tmp_path: Path, zipped: bool) -> None:
    source = ROOT
    if zipped:
        source = tmp_path / "source.zip"
        with zipfile.ZipFile(source, "w") as archive:
            for package in ("kaggle_notebook", "voting"):
                for path in (ROOT / package).rglob("*.py"):
                    archive.write(path, path.relative_to(ROOT))
    # -S: no site-packages
    command = [sys.executable, "-I", "-S", "-c", CODE, str(source), json.dumps(MODULES)]
    done = subprocess.run(
        [*command, str(tmp_path / "session")],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer, modules = json.loads(done.stdout)
    assert answer == {"id": ["a"], "answer": [0]}
    others = set(modules) - set(sys.stdlib_module_names) - {"kaggle_notebook", "voting", "__main__"}
    assert {name for name in others if not name.startswith("_")} == set()
