"""Token ids as text: from a `tokenizer.json`, or from ranks in tiktoken's format."""

import base64
import binascii
from codecs import getincrementaldecoder
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Protocol

from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream

from training.errors import BadFile, reading
from training.served import ServedDecoder

#: gpt-oss's control tokens, which a file of ranks does not have (openai-harmony's documentation).
HARMONY = {
    199998: "<|startoftext|>", 199999: "<|endoftext|>", 200002: "<|return|>",
    200003: "<|constrain|>", 200005: "<|channel|>", 200006: "<|start|>", 200007: "<|end|>",
    200008: "<|message|>", 200012: "<|call|>", 200018: "<|endofprompt|>",
}  # fmt: skip


class Decoder(Protocol):
    """Turns ids into text, control tokens included."""

    def decode(self, ids: list[int]) -> str:
        """Return the text of ids."""
        ...

    def pieces(self, ids: list[int]) -> list[str]:
        """Return what each id adds to the text: nothing while a character is not whole."""
        ...


@contextmanager
def open_decoder(path: Path | None, url: str | None) -> Iterator[Decoder | None]:
    """Yield the decoder of a file, or else that of a server; None where neither is named.

    Raises:
        BadFile: the file cannot be read.
        QuorumClientError: the server's address is malformed.
    """
    if path is None and url is not None:
        with closing(ServedDecoder(url)) as served:
            yield served
    else:
        yield None if path is None else load_decoder(path)


def load_decoder(path: Path) -> Decoder:
    """Return the decoder of a `tokenizer.json`, a folder with one, or a `.tiktoken` file.

    Raises:
        BadFile: it cannot be read.
    """
    if path.is_dir():
        path = path / "tokenizer.json"
    with reading(path):
        content = path.read_bytes()
    if path.suffix == ".tiktoken":
        return _Ranks(path, content)
    return _Table(path, content)


class _Table:
    def __init__(self, path: Path, content: bytes) -> None:
        try:
            self._tokenizer = Tokenizer.from_buffer(content)
        except Exception as error:  # noqa: BLE001 - the library raises bare Exception
            raise BadFile(f"{path}: not a tokenizer.json ({error})") from None

    def decode(self, ids: list[int]) -> str:
        return str(self._tokenizer.decode(ids, skip_special_tokens=False))

    def pieces(self, ids: list[int]) -> list[str]:
        stream = DecodeStream(skip_special_tokens=False)
        return [stream.step(self._tokenizer, each) or "" for each in ids]


class _Ranks:
    def __init__(self, path: Path, content: bytes) -> None:
        self._pieces = {rank: text.encode() for rank, text in HARMONY.items()}
        try:
            for line in content.splitlines():
                token, _, rank = line.partition(b" ")
                self._pieces[int(rank)] = base64.b64decode(token, validate=True)
        except (ValueError, binascii.Error):
            raise BadFile(f"{path}: not a file of ranks in tiktoken's format") from None

    def decode(self, ids: list[int]) -> str:
        return b"".join(map(self._bytes, ids)).decode(errors="replace")

    def pieces(self, ids: list[int]) -> list[str]:
        decoder = getincrementaldecoder("utf-8")("replace")
        found = [decoder.decode(self._bytes(each)) for each in ids]
        if found:
            found[-1] += decoder.decode(b"", final=True)
        return found

    def _bytes(self, token_id: int) -> bytes:
        return self._pieces.get(token_id) or f"<|{token_id}|>".encode()
