"""The install without an index, in an environment beside an image that must stay as it is."""

import json
import shutil
import subprocess
import sys
import venv
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pip
import pytest

from kaggle_notebook.bundle import install as installer
from kaggle_notebook.bundle.install import install
from kaggle_notebook.bundle.manifest import missing_files, read, target_name
from kaggle_notebook.errors import BundleError
from tests.kaggle_notebook.inputs import make_bundle

ROOT = Path(__file__).resolve().parents[3]
VERSIONS = "import quorum_tiny, quorum_other; print(quorum_tiny.V, quorum_other.V)"


@pytest.fixture(scope="module")
def made_bundle(made_index: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of the tiny project for this Python."""
    folder = tmp_path_factory.mktemp("bundles") / "bundle"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIP_NO_INDEX", "1")
        patch.setenv("PIP_FIND_LINKS", str(made_index[0]))
        return make_bundle(folder, made_index[1], [target_name()])


@pytest.fixture
def bundle(tmp_path: Path, made_bundle: Path) -> Path:
    """The same, to be harmed."""
    return Path(shutil.copytree(made_bundle, tmp_path / "bundle"))


def output_of(python: Path, program: str) -> str:
    command = [str(python), "-P", "-c", program]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_it_is_installed_beside_an_image_with_few_packages(
    tmp_path: Path, index: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The image has an older quorum-tiny: it keeps it, the server's environment has the newer."""
    image = tmp_path / "image"
    venv.create(image, with_pip=False, symlinks=True)
    python = image / "bin" / "python"
    site = next((image / "lib").glob("python*/site-packages"))
    command = [sys.executable, "-m", "pip", f"--python={python}", "install", "--quiet"]
    subprocess.run([*command, f"--find-links={index}", "quorum-tiny==1.0"], check=True)
    # pip itself comes with the image
    shutil.copytree(Path(pip.__path__[0]), site / "pip")
    before = {path.name for path in site.iterdir()} | {"__pycache__"}
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    command = [str(python), "-P", "-m", "kaggle_notebook.bundle.install", str(bundle)]
    command += ["--environment", str(tmp_path / "environment")]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "puts quorum-tiny 2.0 before the image's 1.0" in done.stdout
    assert "adds quorum-other 1.0" in done.stdout
    made = json.loads(done.stdout.splitlines()[-1])["python"]
    monkeypatch.delenv("PYTHONPATH")
    assert output_of(Path(made), VERSIONS) == "2.0 1.0"
    assert output_of(Path(made), "import client.main as m; print(m.quorum_tiny.V)") == "2.0"
    assert output_of(python, "import quorum_tiny; print(quorum_tiny.V)") == "1.0"
    assert {path.name for path in site.iterdir()} | {"__pycache__"} == before


def test_what_is_installed_is_found_again_and_what_was_cut_is_made_again(
    tmp_path: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The upload has lost its folders: that does not matter."""
    for wheel in (bundle / "wheels").iterdir():
        wheel.rename(bundle / wheel.name)
    (bundle / "wheels").rmdir()
    assert missing_files(bundle, read(bundle)) == []
    folder = tmp_path / "environment"
    folder.mkdir()
    (folder / "half").touch()
    python = install(bundle, folder)
    assert not (folder / "half").exists()
    assert output_of(python, VERSIONS) == "2.0 1.0"

    def refuse(*_: object) -> None:
        raise AssertionError("nothing is installed again")

    monkeypatch.setattr(installer, "_pip", refuse)
    assert install(bundle, folder) == python


def test_two_that_install_at_once_make_one_environment(tmp_path: Path, bundle: Path) -> None:
    folder = tmp_path / "environment"
    with ThreadPoolExecutor(2) as both:
        made = list(both.map(lambda _: install(bundle, folder), range(2)))
    assert made == [folder / "bin" / "python"] * 2
    assert output_of(made[0], VERSIONS) == "2.0 1.0"


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        ("truncated", r"wheels/quorum_tiny-2\.0.*whl is truncated \(\d+ of \d+ bytes\)"),
        ("flipped", r"wheels/quorum_tiny-2\.0.*whl has other bytes than the manifest says"),
        ("gone", r"wheels/quorum_tiny-2\.0.*whl is missing"),
    ],
)
def test_a_damaged_wheel_is_named_before_anything_is_installed(
    tmp_path: Path, bundle: Path, harm: str, told: str
) -> None:
    wheel = bundle / "wheels" / "quorum_tiny-2.0-py3-none-any.whl"
    data = wheel.read_bytes()
    if harm == "gone":
        wheel.unlink()
    else:
        harmed = data[:-9] if harm == "truncated" else data[:40] + b"!" + data[41:]
        wheel.write_bytes(harmed)
    with pytest.raises(BundleError, match=told):
        install(bundle, tmp_path / "environment")
    assert not (tmp_path / "environment").exists()


def test_another_python_than_the_bundles_is_refused(tmp_path: Path, bundle: Path) -> None:
    path = bundle / "manifest.json"
    path.write_text(path.read_text().replace(f'"{target_name()}"', '"3.9"'))
    with pytest.raises(BundleError, match=r"is for Python 3\.9, this is .*--python 3\."):
        install(bundle, tmp_path / "environment")


def test_a_dependency_that_the_bundle_lacks_is_told(tmp_path: Path, bundle: Path) -> None:
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest["files"] = [f for f in manifest["files"] if "quorum_other" not in f["path"]]
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    (bundle / "wheels" / "quorum_other-1.0-py3-none-any.whl").unlink()
    with pytest.raises(BundleError, match=r"pip cannot install quorum_aimo-.*quorum-other"):
        install(bundle, tmp_path / "environment")
