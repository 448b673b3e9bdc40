"""Publishing through Kaggle's own package, to a double of its API over HTTP."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from kaggle_notebook.build.notebook import NotebookSettings, write
from kaggle_notebook.errors import PublishError
from kaggle_notebook.publish import dataset as datasets
from kaggle_notebook.publish import model as models
from kaggle_notebook.publish import notebook as notebooks
from kaggle_notebook.publish.account import Account, open_account, redacted
from kaggle_notebook.publish.staging import CHECKSUMS, inspect, stage
from tests.kaggle_notebook.inputs import make_hub_model
from tests.kaggle_notebook.publish.double import KaggleDouble, kaggle_double

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
KEY = "0123456789abcdef-key"


@pytest.fixture
def kaggle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KaggleDouble]:
    """A double that http://localhost leads to, and an account's credentials."""
    for name in ("KAGGLE_API_TOKEN", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(tmp_path / "home"))
    monkeypatch.setenv("KAGGLE_USERNAME", "me")
    monkeypatch.setenv("KAGGLE_KEY", KEY)
    with kaggle_double() as double:
        monkeypatch.setenv("http_proxy", double.url)
        yield double


@pytest.fixture
def account(kaggle: KaggleDouble) -> Account:
    """The account, whose pauses take no time."""
    del kaggle
    return open_account(local=True, pause=lambda _: None)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A folder to upload."""
    folder = tmp_path / "bundle"
    (folder / "wheels").mkdir(parents=True)
    (folder / "wheels" / "a.whl").write_bytes(b"w" * 1000)
    (folder / "manifest.json").write_text('{"files": []}')
    return folder


def request(folder: Path, name: str = "me/quorum-bundle") -> datasets.DatasetRequest:
    return datasets.DatasetRequest(name=name, upload=inspect(folder))


def test_a_data_set_is_created_and_then_gets_versions_with_its_checksum(
    kaggle: KaggleDouble, account: Account, bundle: Path
) -> None:
    told: list[str] = []
    url = datasets.publish(account, request(bundle), told.append)
    assert url == "/datasets/me/quorum-bundle"
    assert sorted(kaggle.datasets["me/quorum-bundle"]) == [CHECKSUMS, "manifest.json", "wheels.zip"]
    assert told == ["creating me/quorum-bundle"]
    kaggle.statuses = ["READY", "BLOBS_RECEIVED", "READY"]
    datasets.publish(account, request(bundle), told.append)
    assert told[1:] == [
        "adding a version to me/quorum-bundle",
        "me/quorum-bundle is blobs_received",
    ]
    body = next(body for name, body in kaggle.calls if name == "CreateDatasetVersion")
    assert inspect(bundle).digest in body["body"]["versionNotes"]
    assert {auth[:5] for auth in kaggle.authorizations} == {"Basic"}


def test_an_upload_that_is_cut_goes_on_where_it_was(
    kaggle: KaggleDouble, account: Account, bundle: Path
) -> None:
    kaggle.cut_uploads = 1
    datasets.publish(account, request(bundle), lambda _: None)
    cut = {name: kaggle.blobs[token] for token, name in kaggle.names.items()}
    assert cut["manifest.json"] == b'{"files": []}'
    assert b"w" * 1000 in cut["wheels.zip"]
    assert kaggle.names_called().count("StartBlobUpload") == 3


def test_what_may_pass_is_tried_again_and_what_cannot_is_not(
    kaggle: KaggleDouble, account: Account, tmp_path: Path
) -> None:
    write(tmp_path, NotebookSettings(owner="me"))
    kaggle.refusals["SaveKernel"] = [503, 429, 500]
    assert notebooks.push(account, tmp_path) == "/code/me/q version 3"
    kaggle.refusals["SaveKernel"] = [400]
    with pytest.raises(PublishError, match="pushing the notebook: refused SaveKernel"):
        notebooks.push(account, tmp_path)
    assert kaggle.names_called().count("SaveKernel") == 5


def test_refused_credentials_are_told_without_them(
    kaggle: KaggleDouble, account: Account, bundle: Path, caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    caplog.set_level(logging.DEBUG)
    kaggle.refusals["GetDatasetStatus"] = [401]
    with pytest.raises(PublishError, match=r"refuses the credentials .*new token") as raised:
        datasets.publish(account, request(bundle), lambda _: None)
    shown = [str(raised.value), caplog.text, *capsys.readouterr()]
    assert not any(KEY in text or "grant" in text for text in shown)


def test_a_notebook_without_one_of_its_sources_is_no_success(
    kaggle: KaggleDouble, account: Account, tmp_path: Path
) -> None:
    write(tmp_path, NotebookSettings(owner="me"))
    kaggle.kernel["invalidDatasetSources"] = ["me/quorum-bundle"]
    with pytest.raises(PublishError, match="without dataset me/quorum-bundle"):
        notebooks.push(account, tmp_path)
    sent = next(body for name, body in kaggle.calls if name == "SaveKernel")
    assert sent["enableInternet"] is False
    assert json.loads(sent["text"])["nbformat"] == 4


def test_the_status_says_why_a_run_failed(account: Account) -> None:
    assert notebooks.status(account, "me/quorum") == "me/quorum: error (out of memory)"


def test_a_file_that_is_not_there_afterwards_is_told(
    kaggle: KaggleDouble, account: Account, bundle: Path
) -> None:
    kaggle.lost_file = "manifest.json"
    with pytest.raises(PublishError, match=r"lacks 1 files of the upload \(manifest\.json\)"):
        datasets.publish(account, request(bundle), lambda _: None)


def test_a_model_is_created_with_its_variation_and_then_gets_versions(
    kaggle: KaggleDouble, account: Account, tmp_path: Path
) -> None:
    folder = make_hub_model(tmp_path / "model")
    wanted = models.ModelRequest(name="me/gpt/transformers/20b", upload=inspect(folder))
    models.publish(account, wanted, lambda _: None)
    assert "model-00001-of-00001.safetensors" in kaggle.models["me/gpt"]
    assert models.publish(account, wanted, lambda _: None) == "/models/m/t/v/2"
    assert kaggle.names_called().count("CreateModel") == 1
    (folder / "model-00001-of-00001.safetensors").unlink()
    with pytest.raises(PublishError, match="holds no weights"):
        models.check(models.ModelRequest(name=wanted.name, upload=inspect(folder)))


def test_without_credentials_one_sentence_says_what_to_do(
    kaggle: KaggleDouble, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("KAGGLE_USERNAME")
    monkeypatch.delenv("KAGGLE_KEY")
    with pytest.raises(PublishError, match=r"no valid credentials; make a token on kaggle\.com"):
        open_account(local=True)
    assert kaggle.calls == []
    assert capsys.readouterr() == ("", "")


def test_the_staged_folder_is_the_same_each_time(
    kaggle: KaggleDouble, bundle: Path, tmp_path: Path
) -> None:
    del kaggle
    upload = inspect(bundle)
    folder = stage(upload, {})
    first = (folder / "wheels.zip").read_bytes()
    (folder / "wheels.zip").unlink()
    assert stage(upload, {}) == folder
    assert (folder / "wheels.zip").read_bytes() == first
    sums = json.loads((folder / CHECKSUMS).read_text())["files"]
    assert sums["wheels/a.whl"]["size_bytes"] == 1000
    (tmp_path / "nothing").mkdir()
    with pytest.raises(PublishError, match="is empty"):
        inspect(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("OWNER/quorum-bundle", "OWNER stands for your name"),
        ("quorum-bundle", "must be OWNER/NAME"),
        ("me/x", "must have 6 to 50"),
        ("me/Quorum_Bundle", "small letters, digits and dashes"),
    ],
)
def test_names_are_checked_before_anything_is_sent(bundle: Path, name: str, told: str) -> None:
    with pytest.raises(PublishError, match=told):
        datasets.check(request(bundle, name))


def test_secrets_are_taken_out_of_texts() -> None:
    text = f"GET https://user:pw@h/p?sig={KEY} failed with key {KEY}"
    assert redacted(text, [KEY]) == "GET https://…@h/p?… failed with key …"
