"""A model's tokens, local and synchronous: what is written, read and controlled by which id."""

import codecs
from collections.abc import Iterable, Mapping
from functools import cached_property
from itertools import islice
from pathlib import Path
from types import MappingProxyType

from server.vocabulary.errors import UnknownControlToken, UnknownToken, VocabularyError
from server.vocabulary.gguf_table import load_gguf
from server.vocabulary.hub_table import load_tokenizer_json
from server.vocabulary.spelling import Speller
from server.vocabulary.table import TokenTable
from server.vocabulary.tiktoken_table import load_tiktoken


class TextDecoder:
    """Turns token ids into text as they come; the parts join to what `decode` gives for all.

    A character whose bytes are split over tokens is held back until it is whole.
    """

    def __init__(self, vocabulary: "Vocabulary") -> None:
        self._vocabulary = vocabulary
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, ids: Iterable[int]) -> str:
        """Return the text that these ids complete; raises `UnknownToken`."""
        return self._utf8.decode(b"".join(map(self._vocabulary.token_bytes, ids)))

    def feed_one(self, token_id: int) -> str:
        """Return what `feed` does for one id: this runs for every token of every attempt."""
        return self._utf8.decode(self._vocabulary.token_bytes(token_id))

    def flush(self) -> str:
        """Return what an unfinished character leaves (U+FFFD or nothing) and start afresh."""
        rest = self._utf8.decode(b"", final=True)
        self._utf8.reset()
        return rest


class Vocabulary:
    """The tokens of one model: encodes plain text, decodes any id, names the control tokens.

    A control token is one that text cannot spell: special or merely added (`<|im_end|>`,
    `<think>`, `<tool_call>`). Instances do not change and may be shared between threads.
    """

    def __init__(self, table: TokenTable) -> None:
        self._pieces = table.pieces
        self._encoder = table.encoder
        self._control_ids = frozenset(table.controls.values())
        self.controls: Mapping[str, int] = MappingProxyType(dict(table.controls))
        self.eos_ids = table.eos_ids
        self.chat_template = table.chat_template
        self.begin_name, self.end_name = table.begin_name, table.end_name

    @classmethod
    def load(cls, path: str | Path) -> "Vocabulary":
        """Read a `.gguf` file, a `tokenizer.json`, a `.tiktoken` file, or a folder with one.

        Takes under a second for 150,000 tokens, some seconds for a `.tiktoken` file. Raises
        `VocabularyError` for anything else.
        """
        path = _vocabulary_file(Path(path))
        if not path.is_file():
            raise VocabularyError(
                f"{path}: no such file; give a .gguf file or a folder that holds tokenizer.json"
            )
        load = _LOADERS.get(path.suffix, load_gguf)
        return cls(load(path))

    @property
    def size(self) -> int:
        """The number of ids: the largest plus one."""
        return len(self._pieces)

    def encode(self, text: str) -> list[int]:
        """Return the ids of plain text: never a control token's, whatever the text says.

        The ids decode to the same text, but for what the model's own tokenizer.json normalises
        (Qwen's composes characters, Gemma's reads U+2581 as a space). Lone surrogates, which are
        no text, are written as U+FFFD.
        """
        try:
            text.encode()
        except UnicodeEncodeError:
            text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        return self._encoder.encode(text, add_special_tokens=False).ids

    def control(self, name: str) -> int:
        """Return the id of a control token such as `<|im_end|>`; raises `UnknownControlToken`."""
        try:
            return self.controls[name]
        except KeyError:
            raise UnknownControlToken(
                f"control token {name!r}: not in this vocabulary; "
                "choose the dialect of the model's own family"
            ) from None

    def is_control(self, token_id: int) -> bool:
        """Tell whether an id is a control token's (an unknown id is not)."""
        return token_id in self._control_ids

    def token_bytes(self, token_id: int) -> bytes:
        """Return the bytes a token stands for: a control token's name, nothing for a padding id.

        Raises `UnknownToken` for an id outside 0 … `size` - 1.
        """
        if not 0 <= token_id < len(self._pieces):
            raise UnknownToken(
                f"token id {token_id}: must be from 0 to {len(self._pieces) - 1}; "
                "give the server the vocabulary of the model that the engine serves"
            )
        return self._pieces[token_id]

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of ids; bytes that are not UTF-8 become U+FFFD. Raises `UnknownToken`."""
        return b"".join(map(self.token_bytes, ids)).decode("utf-8", "replace")

    def decoder(self) -> TextDecoder:
        """Return a decoder for ids that arrive in parts."""
        return TextDecoder(self)

    def spell(self, data: bytes, count: int, limit: int = 2) -> list[tuple[int, ...]]:
        """Return up to `limit` ways to write exactly `data` with exactly `count` plain tokens.

        One result means that the ids are certain: so ids that an engine's stream lost inside a
        UTF-8 character are recovered. Most ways are not what `encode` would choose.
        """
        return list(islice(self._speller.spellings(data, count), limit))

    @cached_property
    def _speller(self) -> Speller:
        ids_of_piece: dict[bytes, list[int]] = {}
        for token_id, piece in enumerate(self._pieces):
            if piece and token_id not in self._control_ids:
                ids_of_piece.setdefault(piece, []).append(token_id)
        return Speller(ids_of_piece)


_LOADERS = {".json": load_tokenizer_json, ".tiktoken": load_tiktoken}


def _vocabulary_file(path: Path) -> Path:
    """Return the file of a model folder that the vocabulary is read from."""
    if not path.is_dir():
        return path
    whole = path / "tokenizer.json"
    ranks = sorted(path.glob("*.tiktoken"))
    return ranks[0] if ranks and not whole.exists() else whole
