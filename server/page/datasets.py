"""`/data` and `/data/…`: problems, corpus, token masks and training samples of a folder."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from fastapi import Request, Response

from server.page.answering import Journal, frame_of, page_router, parts_of, sent, spelling_of
from server.page.files import (
    ID_FIELDS,
    MASK_FIELDS,
    RUNS_FIELD,
    DataFile,
    DataKind,
    find_file,
    find_files,
    read_page,
)
from server.page.render import Frame
from server.page.tokens import BYTES_BEFORE
from server.page.view import View
from server.page.visible import visible
from server.vocabulary import Vocabulary

router = page_router()
NONE = "none"
#: Tokens of a row that are shown.
MOST_TOKENS = 4_000
#: Characters of a text of a row that are shown.
MOST_CHARS = 20_000
#: A place in a file; larger ones are none.
MOST_AT = 2**50


@dataclass(frozen=True, slots=True)
class MaskedToken:
    """A token of an example: `weight` is 0 where nothing is learned from it."""

    position: int
    id: int
    text: str
    weight: float


@router.get("/data")
async def listing(request: Request, read: Journal) -> Response:
    """List the files of the training folder."""
    folder = data_folder(request)
    frame = frame_of(request, "Data", "data")

    def work() -> str:
        there = folder is not None and folder.is_dir()
        files = find_files(folder) if folder is not None and there else []
        context = {"folder": str(folder or ""), "there": there, "files": files}
        return View("data.html", frame, context).html()

    return sent(request, await read.make(work), "data.html")


@router.get("/data/{name:path}")
async def file(
    request: Request, read: Journal, name: str, at: int = 0, text: str = "", token: int = 0
) -> Response:
    """Show rows of a file; of long lists of tokens, those from one on."""
    folder = data_folder(request) or Path("none")
    frame = frame_of(request, name, "data", "data.js")
    spelling = spelling_of(request)

    def work() -> str:
        found = find_file(folder, name)
        first = min(max(at, 0), MOST_AT)
        begin = min(max(token, 0), MOST_AT)
        return file_view(frame, found, first, text, spelling.vocabulary, begin).html()

    return sent(request, await read.make(work), "data.html")


def data_folder(request: Request) -> Path | None:
    """Return the folder of training data; None where none is named."""
    named = parts_of(request).settings.page.training
    return None if named == NONE else Path(named).expanduser()


def file_view(
    frame: Frame, file: DataFile, at: int, text: str, vocabulary: Vocabulary | None, token: int = 0
) -> View:
    """Return a page of a file's rows."""
    page = read_page(file, at, text)
    following = urlencode({"at": page.next, **({"text": text} if text else {})})
    context: dict[str, object] = {
        "file": file,
        "text": text,
        "at": at,
        "following": f"?{following}" if page.next is not None else None,
        "gave_up": page.gave_up,
        "rows": [(place, _shown(file.kind, row, vocabulary, token)) for place, row in page.rows],
        "most_tokens": MOST_TOKENS,
    }
    return View("file.html", frame, context)


def _shown(
    kind: DataKind, row: dict[str, Any], vocabulary: Vocabulary | None, token: int
) -> dict[str, Any]:
    """Return a row as the template takes it: texts that are bounded, lists that fit."""
    shown: dict[str, Any] = {"tokens": [], "rate": None, "responses": [], "left_out": 0}
    if kind is DataKind.TOKENS:
        shown["tokens"], shown["left_out"] = _tokens(row, vocabulary, token)
    if kind is DataKind.PROBLEMS:
        shown["rate"] = _rate(row.get("solve_rate"))
    if kind is DataKind.SAMPLES:
        shown["responses"] = _responses(row)
    skipped = {*ID_FIELDS, *MASK_FIELDS, RUNS_FIELD} if kind is DataKind.TOKENS else set()
    skipped |= {"responses", "rewards", "advantages", "answers"} if shown["responses"] else set()
    shown["fields"] = {
        visible(name): _text(value) for name, value in row.items() if name not in skipped
    }
    return shown


def _text(value: object) -> str:
    text = visible(value)
    return text if len(text) <= MOST_CHARS else f"{text[:MOST_CHARS]} … ({len(text):,} characters)"


def _rate(value: object) -> float | None:
    try:
        rate = float(str(value))
    except ValueError:
        return None
    return min(max(rate, 0.0), 1.0) if math.isfinite(rate) else None


def _tokens(
    row: dict[str, Any], vocabulary: Vocabulary | None, first: int
) -> tuple[list[MaskedToken], int]:
    """Return the tokens from `first` on, so many as are shown, and how many follow."""
    ids: list[Any] = next((row[name] for name in ID_FIELDS if isinstance(row.get(name), list)), [])
    stop = first + MOST_TOKENS
    mask: list[Any] = next(
        (row[name] for name in MASK_FIELDS if isinstance(row.get(name), list)), []
    )
    if not mask and isinstance(row.get(RUNS_FIELD), list):
        mask = _weights(row[RUNS_FIELD], len(ids))
    decoder = vocabulary.decoder() if vocabulary else None
    tokens = []
    for position in range(max(first - BYTES_BEFORE, 0), min(stop, len(ids))):
        token_id = ids[position]
        if not isinstance(token_id, int):
            break
        known = decoder is not None and vocabulary is not None and 0 <= token_id < vocabulary.size
        text = decoder.feed([token_id]) if known and decoder is not None else f"⟨{token_id}⟩"
        weight = mask[position] if position < len(mask) else 0.0
        weight = float(weight) if isinstance(weight, int | float) else 0.0
        if position >= first:
            tokens.append(MaskedToken(position, token_id, visible(text), weight))
    return tokens, max(len(ids) - stop, 0)


def _weights(runs: list[Any], most: int) -> list[int]:
    """Return the mask of alternating run lengths, the first of them not learned from."""
    found: list[int] = []
    for number, length in enumerate(runs):
        if not isinstance(length, int) or length < 0 or len(found) >= most:
            break
        found += [number % 2] * min(length, most)
    return found


def _responses(row: dict[str, Any]) -> list[dict[str, Any]]:
    responses = row.get("responses")
    columns = {name: row.get(name) for name in ("rewards", "advantages", "answers")}
    if not isinstance(responses, list):
        return []
    return [
        {
            "text": _text(response),
            "reward": _item(columns["rewards"], index),
            "advantage": _item(columns["advantages"], index),
            "answer": visible(_item(columns["answers"], index)),
        }
        for index, response in enumerate(responses)
    ]


def _item(values: object, index: int) -> Any:  # noqa: ANN401 - whatever the file holds
    return values[index] if isinstance(values, list) and index < len(values) else None
