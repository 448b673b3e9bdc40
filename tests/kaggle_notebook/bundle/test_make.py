"""What a bundle holds, what it says of the image, and what it refuses. Pip is the real one."""

import json
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from kaggle_notebook.bundle.command import bundle
from kaggle_notebook.bundle.image import Image, protected, read_image
from kaggle_notebook.bundle.make import BundleRequest, make
from kaggle_notebook.bundle.make import tested_versions as versions_of_locks
from kaggle_notebook.bundle.manifest import Kind, read, verify
from kaggle_notebook.bundle.wheels import Wanted, build_project, fetch, platforms, read_wheel
from kaggle_notebook.errors import BundleError
from tests.kaggle_notebook.inputs import make_wheel


def image(**versions: str) -> Image:
    return Image({name.replace("_", "-"): version for name, version in versions.items()})


def test_a_bundle_has_all_wheels_with_their_hashes_and_is_the_same_each_time(
    tmp_path: Path, project: Path
) -> None:
    vocabulary, prompts = tmp_path / "own.tiktoken", tmp_path / "prompts"
    vocabulary.write_text("IQ== 0\n")
    (prompts / "harmony").mkdir(parents=True)
    (prompts / "harmony" / "system.md").write_text("Solve.")
    request = BundleRequest(
        out=tmp_path / "bundle",
        project=project,
        pythons=("3.11", "3.12"),
        vocabularies=(vocabulary,),
        prompts=prompts,
    )
    again = replace(request, out=tmp_path / "again")
    manifest = make(request)
    assert {file.path: file.kind for file in manifest.files} == {
        "prompts/harmony/system.md": Kind.PROMPT,
        "vocabulary/own.tiktoken": Kind.VOCABULARY,
        "wheels/quorum_aimo-0.1.0-py3-none-any.whl": Kind.WHEEL,
        "wheels/quorum_other-1.0-py3-none-any.whl": Kind.WHEEL,
        "wheels/quorum_tiny-2.0-py3-none-any.whl": Kind.WHEEL,
    }
    assert set(manifest.targets) == {"3.11", "3.12"}
    assert read(request.out) == manifest
    verify(request.out, manifest)
    assert make(again).text() == manifest.text()


def test_the_images_versions_are_kept_where_they_do_and_told_where_not(
    tmp_path: Path, project: Path
) -> None:
    told: list[str] = []
    has = image(quorum_tiny="1.0", quorum_other="1.0", unrelated="7")
    request = BundleRequest(out=tmp_path / "b", project=project, pythons=("3.11",), image=has)
    target = make(request, told.append).targets["3.11"]
    assert target.kept == {"quorum-other": "1.0"}
    assert target.replaces == {"quorum-tiny": ("1.0", "2.0")}
    assert target.adds == ("quorum-aimo",)
    assert "  replaces quorum-tiny 1.0 by 2.0" in told
    assert "  adds quorum-aimo 0.1.0" in told


def test_a_protected_package_is_replaced_only_where_that_is_allowed(
    tmp_path: Path, project: Path
) -> None:
    request = BundleRequest(
        out=tmp_path / "b",
        project=project,
        pythons=("3.11",),
        extras=("heavy",),
        image=image(torch="1.0+cu124"),
    )
    with pytest.raises(BundleError, match=r"replace torch 1\.0\+cu124 by 2\.0.*--allow torch"):
        make(request)
    assert not request.out.exists()
    allowed = replace(request, allowed=("torch",))
    assert make(allowed).targets["3.11"].replaces == {"torch": ("1.0+cu124", "2.0")}


def test_a_lean_bundle_leaves_out_what_the_image_has(tmp_path: Path, project: Path) -> None:
    has = image(quorum_tiny="2.0", quorum_other="1.0")
    request = BundleRequest(
        out=tmp_path / "b", project=project, pythons=("3.11",), image=has, lean=True
    )
    assert [file.path for file in make(request).files] == [
        "wheels/quorum_aimo-0.1.0-py3-none-any.whl"
    ]


def test_versions_that_were_tested_are_preferred(
    tmp_path: Path, index: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_wheel(tmp_path, "quorum-tiny", "3.0")
    monkeypatch.setenv("PIP_FIND_LINKS", f"{index} {tmp_path}")
    wanted = Wanted(
        project=read_wheel(project), extras=(), python="3.11", platform="linux_x86_64",
        image=Image(), tested=image(quorum_tiny="2.0"),
    )  # fmt: skip
    versions = {wheel.name: wheel.version for wheel in fetch(wanted, tmp_path / "wheels")}
    assert versions["quorum-tiny"] == "2.0"


def test_what_no_index_has_is_told_in_one_sentence(
    tmp_path: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    make_wheel(tmp_path, "quorum-tiny", "2.0")
    request = BundleRequest(out=tmp_path / "b", project=project, pythons=("3.11",))
    with pytest.raises(BundleError, match=r"no wheels for Python 3\.11 .*quorum-other; choose"):
        make(request)


def test_a_folder_that_is_no_bundle_is_not_overwritten(tmp_path: Path, project: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    with pytest.raises(BundleError, match="is there and is no bundle"):
        make(BundleRequest(out=tmp_path / "mine", project=project))
    assert (tmp_path / "mine" / "thesis.tex").exists()


def test_other_ranks_under_the_published_name_are_refused(tmp_path: Path, project: Path) -> None:
    path = tmp_path / "o200k_base.tiktoken"
    path.write_text("IQ== 0\n")
    request = BundleRequest(out=tmp_path / "b", project=project, vocabularies=(path,))
    with pytest.raises(BundleError, match="bytes are not the published ones"):
        make(request)


def test_a_truncated_wheel_is_named(tmp_path: Path, project: Path) -> None:
    torn = tmp_path / project.name
    torn.write_bytes(project.read_bytes()[:-30])
    with pytest.raises(BundleError, match=rf"{project.name}: is no whole wheel"):
        make(BundleRequest(out=tmp_path / "b", project=torn))


def test_an_extra_that_does_not_exist_is_refused(tmp_path: Path, project: Path) -> None:
    request = BundleRequest(out=tmp_path / "b", project=project, extras=("heavy", "large"))
    with pytest.raises(BundleError, match="extra large: Quorum has heavy; correct --extra"):
        make(request)


def test_the_projects_own_wheel_is_built_with_its_notebook(tmp_path: Path) -> None:
    wheel = build_project(Path(__file__).resolve().parents[3], tmp_path)
    assert (wheel.name, wheel.version) == ("quorum-aimo", "0.1.0")
    names = zipfile.ZipFile(wheel.path).namelist()
    assert "kaggle_notebook/build/locate.py" in names
    assert "kaggle_notebook/notebook/quorum.ipynb" in names


def test_a_freeze_is_read_with_all_its_forms(tmp_path: Path) -> None:
    path = tmp_path / "freeze.txt"
    path.write_text(
        "\ufeff# image\nTorch_Vision==0.2.0+cu1\nlocal @ file:///tmp/x\n-f https://h/\n\n"
        "numpy==2.0 ; python_version > '3'\nhttpx[http2]==0.28\nold===2004d\n"
        "torch @ https://h/whl/cu124/torch-2.6.0%2Bcu124-cp311-cp311-linux_x86_64.whl#sha256=00\n"
        "built @ https://h/built-1.0-2-py3-none-any.whl\ncolab @ file:///d/colab-1.0.0.tar.gz\n"
        "-e git+https://h/p#egg=dev\n-e git+https://h/p#egg=below&subdirectory=x\n"
        "# Editable install with no version control (mine==0.1)\n-e /opt/mine\n"
    )
    found = read_image(path)
    assert found.versions == {
        "torch-vision": "0.2.0+cu1",
        "numpy": "2.0",
        "httpx": "0.28",
        "old": "2004d",
        "torch": "2.6.0+cu124",
        "built": "1.0",
        "colab": "1.0.0",
        "mine": "0.1",
    }
    assert found.unversioned == {"local", "dev", "below"}
    kept = ["numpy", "httpx", "old", "built", "colab", "mine"]
    assert found.constraints(kept) == "torch==2.6.0\ntorch-vision==0.2.0\n"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("name version", "line 2: 'name version' is not name==version"),
        ("-r other.txt", "line 2: '-r other.txt' is not name==version"),
        ("numpy==1.26", "line 2: numpy is 1.26 here and 2.0 above"),
    ],
)
def test_a_line_of_a_freeze_that_cannot_be_meant_is_named(
    tmp_path: Path, line: str, says: str
) -> None:
    path = tmp_path / "freeze.txt"
    path.write_text(f"numpy==2.0\n{line}\n")
    with pytest.raises(BundleError, match=says):
        read_image(path)


def test_what_is_protected() -> None:
    names = ["torch", "nvidia-nccl-cu12", "grpcio", "httpx", "anyio", "ipykernel"]
    assert [protected(name, ["Torch"]) for name in names] == [False, True, True, False, False, True]


def test_a_platform_takes_wheels_of_older_systems_too() -> None:
    found = platforms("manylinux_2_28_x86_64")
    assert found[0] == "manylinux_2_28_x86_64"
    assert {"manylinux_2_17_x86_64", "manylinux2014_x86_64", "linux_x86_64"} <= set(found)
    assert "manylinux_2_34_x86_64" not in found
    assert platforms("macosx_14_0_arm64") == ["macosx_14_0_arm64"]


def test_a_manifest_that_leads_out_of_the_bundle_is_refused(tmp_path: Path, project: Path) -> None:
    make(BundleRequest(out=tmp_path / "b", project=project, pythons=("3.11",)))
    path = tmp_path / "b" / "manifest.json"
    value = json.loads(path.read_text())
    value["files"][0]["path"] = "../outside"
    path.write_text(json.dumps(value))
    with pytest.raises(BundleError, match="leads out of the bundle"):
        read(tmp_path / "b")


def test_a_check_proves_for_each_python_that_nothing_is_missing(
    tmp_path: Path, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "bundle"
    made = make(BundleRequest(out=out, project=project, pythons=("3.11", "3.12")))
    bundle(out, check=True)
    said = capsys.readouterr().out
    for python in ("3.11", "3.12"):
        assert f"Python {python}: pip finds all 3 packages" in said
    # a wheel that nobody listed: the files are whole, and yet it cannot be installed
    kept = tuple(file for file in made.files if "tiny" not in file.path)
    (out / "wheels" / "quorum_tiny-2.0-py3-none-any.whl").unlink()
    lock = {name: v for name, v in made.targets["3.12"].lock.items() if "tiny" not in name}
    target = replace(made.targets["3.12"], lock=lock)
    (out / "manifest.json").write_text(replace(made, files=kept, targets={"3.12": target}).text())
    with pytest.raises(BundleError, match=r"all that Python 3.12 needs: .*quorum-tiny"):
        bundle(out, check=True)


def test_what_only_the_target_needs_is_fetched_for_it(tmp_path: Path, index: Path) -> None:
    """A requirement that this Python would pass over."""
    only = 'quorum-tiny>=2; python_version >= "3.99" and sys_platform == "linux"'
    never = 'quorum-nowhere; python_version < "3.99" or platform_system == "Windows"'
    project = make_wheel(tmp_path / "p", "quorum-aimo", "0.1.0", [only, never], {})
    request = BundleRequest(out=tmp_path / "b", project=project, pythons=("3.99",))
    assert set(make(request).targets["3.99"].lock) == {"quorum-aimo", "quorum-tiny"}
    bundle(request.out, check=True)
    assert index.is_dir()


def test_a_lock_s_lines_count_where_their_markers_hold(tmp_path: Path) -> None:
    lock = tmp_path / "requirements" / "core.txt"
    lock.parent.mkdir()
    lock.write_text(
        "numpy==2.4.6 ; python_full_version < '3.12' \\\n    --hash=sha256:00\n"
        "numpy==2.5.5 ; python_full_version >= '3.12' \\\n    --hash=sha256:00\n"
        "colorama==0.4.6 ; sys_platform == 'win32'\nrich==15.0.0\n"
    )
    found = {
        python: versions_of_locks(tmp_path, (), python, "manylinux_2_35_x86_64").versions
        for python in ("3.11", "3.12")
    }
    assert found["3.11"] == {"numpy": "2.4.6", "rich": "15.0.0"}
    assert found["3.12"] == {"numpy": "2.5.5", "rich": "15.0.0"}


def test_a_version_of_the_image_that_needs_what_another_cannot_have_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, index: Path
) -> None:
    """Two packages that share a third: pip tells only what each of them needs."""
    folder = tmp_path / "index"
    make_wheel(folder, "quorum-web", "1.0", ["quorum-base<2"])
    make_wheel(folder, "quorum-web", "2.0", ["quorum-base"])
    make_wheel(folder, "quorum-events", "1.0", ["quorum-base>=2"])
    for version in ("1.0", "2.0"):
        make_wheel(folder, "quorum-base", version)
    project = make_wheel(
        tmp_path / "p", "quorum-aimo", "0.1.0", ["quorum-web", "quorum-events"], {}
    )
    monkeypatch.setenv("PIP_FIND_LINKS", f"{index} {folder}")
    has = image(quorum_web="1.0", quorum_base="1.0")
    tested = {"3.12": image(quorum_events="1.0")}
    request = BundleRequest(
        out=tmp_path / "b", project=project, pythons=("3.12",), image=has, tested=tested
    )
    target = make(request).targets["3.12"]
    assert target.replaces == {"quorum-web": ("1.0", "2.0"), "quorum-base": ("1.0", "2.0")}
    assert target.lock["quorum-events"] == "1.0"
