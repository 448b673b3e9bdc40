"""`samples.jsonl`: what some of the groups wrote, for people to read."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import orjson

from training.files import append_line, read_lines, whole_file
from training.rl.recipe import RlRecipe
from training.rl.rollouts import Group
from training.text import Decoder
from training.traces.read import to_trace

SAMPLES = "samples.jsonl"


class Samples:
    """The file of a run that is at step `first`; what a stopped run wrote of later ones goes."""

    def __init__(self, folder: Path, decoder: Decoder, recipe: RlRecipe, first: int) -> None:
        self._path, self._decoder = folder / SAMPLES, decoder
        self._rate, self._seed = recipe.samples, recipe.seed
        rows = list(read_lines(self._path))
        kept = [row for row in rows if row["step"] < first]
        if len(kept) < len(rows):
            with whole_file(self._path) as partial:
                lines = (orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in kept)
                partial.write_bytes(b"".join(lines))

    def add(self, step: int, split: str, groups: Sequence[Group]) -> None:
        """Keep a share of the groups; the same ones at every run."""
        for group in groups:
            name = f"{self._seed}/{step}/{split}/{group.problem.id}"
            digest = hashlib.sha256(name.encode()).digest()
            if int.from_bytes(digest[:4], "big") / 2**32 < self._rate:
                append_line(self._path, {"step": step, "split": split, **self._told(group)})

    def _told(self, group: Group) -> dict[str, object]:
        responses = []
        for each in group.attempts:
            trace = to_trace(each.row)
            responses.append(self._decoder.decode(trace.ids[trace.prompt_tokens :].tolist()))
        return {
            "problem_id": group.problem.id, "problem": group.problem.statement,
            "truth": group.problem.answer, "responses": responses,
            "answers": [each.row["answer"] for each in group.attempts],
            "rewards": [each.reward for each in group.attempts],
            "advantages": group.advantages, "left_out": dict(group.left_out),
        }  # fmt: skip
