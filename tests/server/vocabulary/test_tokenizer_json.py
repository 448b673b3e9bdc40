"""tokenizer.json files, the files beside them, and what is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from server.vocabulary import Vocabulary, VocabularyError
from tests.server.vocabulary import tiny_models

Spec = dict[str, Any]


@pytest.fixture
def tokenizer_json(tmp_path: Path) -> Path:
    path = tmp_path / "tokenizer.json"
    tiny_models.write_tokenizer_json(tiny_models.train("qwen2"), path)
    return path


def test_file_and_folder_load_alike(tokenizer_json: Path) -> None:
    ids = Vocabulary.load(tokenizer_json).encode("x = 1")
    assert Vocabulary.load(str(tokenizer_json.parent)).encode("x = 1") == ids


def test_ids_are_the_files_own(tokenizer_json: Path) -> None:
    vocabulary = Vocabulary.load(tokenizer_json)
    trained = tiny_models.train("qwen2")
    for text in tiny_models.CORPUS:
        assert vocabulary.encode(text) == trained.tokenizer.encode(text).ids


def test_line_ends_listed_as_added_stay_plain_text(tmp_path: Path) -> None:
    tiny_models.write_byte_fallback_json(tmp_path / "tokenizer.json")
    vocabulary = Vocabulary.load(tmp_path)
    listed = orjson.loads((tmp_path / "tokenizer.json").read_bytes())["model"]["vocab"]
    for line_ends in ("\n", "\n\n"):
        assert vocabulary.encode(line_ends) == [listed[line_ends]]
        assert not vocabulary.is_control(listed[line_ends])
        assert line_ends not in vocabulary.controls


def test_merges_written_as_strings_are_read(tokenizer_json: Path) -> None:
    before = Vocabulary.load(tokenizer_json).encode("the quick fox")
    spec = orjson.loads(tokenizer_json.read_bytes())
    spec["model"]["merges"] = [" ".join(pair) for pair in spec["model"]["merges"]]
    tokenizer_json.write_bytes(orjson.dumps(spec))
    assert Vocabulary.load(tokenizer_json).encode("the quick fox") == before


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("chat_template.jinja", b"{{ chat }}"),
        ("chat_template.json", b'{"chat_template": "{{ chat }}"}'),
        ("tokenizer_config.json", b'{"chat_template": "{{ chat }}"}'),
        (
            "tokenizer_config.json",
            orjson.dumps(
                {
                    "chat_template": [
                        {"name": "tool_use", "template": "other"},
                        {"name": "default", "template": "{{ chat }}"},
                    ]
                }
            ),
        ),
    ],
)
def test_the_chat_template_is_found(tokenizer_json: Path, name: str, content: bytes) -> None:
    assert Vocabulary.load(tokenizer_json).chat_template is None
    (tokenizer_json.parent / name).write_bytes(content)
    assert Vocabulary.load(tokenizer_json).chat_template == "{{ chat }}"


def test_declared_ends_of_text_are_added(tokenizer_json: Path) -> None:
    vocabulary = Vocabulary.load(tokenizer_json)
    folder = tokenizer_json.parent
    (folder / "tokenizer_config.json").write_bytes(b'{"eos_token": {"content": "</think>"}}')
    (folder / "generation_config.json").write_bytes(b'{"eos_token_id": [7, 99999999]}')
    declared = Vocabulary.load(tokenizer_json).eos_ids
    assert declared == vocabulary.eos_ids | {7, vocabulary.control("</think>")}


@pytest.mark.parametrize("name", ["generation_config.json", "config.json"])
@pytest.mark.parametrize(
    ("declared", "ends"),
    [
        (b"null", set()),
        (b"7", {7}),
        (b'[7, null, "8", 1.5, true, -1]', {7}),
    ],
)
def test_what_is_no_id_ends_no_text(
    tokenizer_json: Path, name: str, declared: bytes, ends: set[int]
) -> None:
    before = Vocabulary.load(tokenizer_json).eos_ids
    (tokenizer_json.parent / name).write_bytes(b'{"eos_token_id": %b}' % declared)
    assert Vocabulary.load(tokenizer_json).eos_ids == before | ends


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("tokenizer_config.json", b"{", "not whole JSON"),
        ("generation_config.json", b"[]", "not a JSON object"),
        ("config.json", b"version https://git-lfs.github.com/spec/v1\n", "not whole JSON"),
        ("chat_template.jinja", b"\xff\xfe", "cannot be read"),
    ],
)
def test_a_damaged_file_beside_it_is_named(
    tokenizer_json: Path, name: str, content: bytes, complaint: str
) -> None:
    (tokenizer_json.parent / name).write_bytes(content)
    with pytest.raises(VocabularyError, match=rf"{name} beside it: {complaint}.*; fetch the file"):
        Vocabulary.load(tokenizer_json)


def _unigram(spec: Spec) -> None:
    spec["model"] = {"type": "Unigram", "vocab": [["a", 0.0]]}


def _without_bytes(spec: Spec) -> None:
    spec["model"]["vocab"] = {"a": 0}


def _with_prefix_space(spec: Spec) -> None:
    spec["pre_tokenizer"] = {
        "type": "ByteLevel",
        "add_prefix_space": True,
        "trim_offsets": True,
        "use_regex": True,
    }


def _with_lower_case(spec: Spec) -> None:
    spec["normalizer"] = {"type": "Lowercase"}


def _with_absurd_id(spec: Spec) -> None:
    spec["added_tokens"][0]["id"] = 10**12


def _with_unknown_step(spec: Spec) -> None:
    spec["normalizer"] = {"type": "Telepathy"}


def _without_contents(spec: Spec) -> None:
    spec["added_tokens"] = [{"id": 1}]


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (_unigram, "the model must be a BPE"),
        (_without_bytes, "of the 256 byte tokens are missing"),
        (_with_prefix_space, "must keep every byte"),
        (_with_lower_case, "must keep every byte"),
        (_with_absurd_id, "token ids must be from 0 to"),
        (_with_unknown_step, "not a tokenizer that `tokenizers` can read"),
        (_without_contents, "not laid out as a tokenizer"),
    ],
)
def test_tokenizers_that_cannot_serve_are_refused(
    tokenizer_json: Path, spoil: Callable[[Spec], None], complaint: str
) -> None:
    spec = orjson.loads(tokenizer_json.read_bytes())
    spoil(spec)
    tokenizer_json.write_bytes(orjson.dumps(spec))
    with pytest.raises(VocabularyError, match=rf"tokenizer\.json: .*{complaint}"):
        Vocabulary.load(tokenizer_json)


@pytest.mark.parametrize("content", [b"", b'{"model": {', b"[]", b"\xff"])
def test_damaged_files_are_refused(tokenizer_json: Path, content: bytes) -> None:
    tokenizer_json.write_bytes(content)
    with pytest.raises(VocabularyError, match="fetch the file again"):
        Vocabulary.load(tokenizer_json)
