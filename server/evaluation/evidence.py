"""What the journal knows of attempts beyond their reports: confidences, and what code printed."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from server.journal.errors import UnknownSolve
from server.journal.export_rows import ExportRow, export_rows
from server.journal.reader import JournalReader
from server.replay.rows import read_confidence
from voting.replay.records import Dip
from voting.scores import TokenScores


@dataclass(frozen=True, slots=True)
class Evidence:
    """Scores of an attempt's tokens, new lows of its confidence, what its cells printed.

    ``mean_entropy`` of the scores is the mean of minus the sampled tokens' log-probabilities, which
    estimates the entropy at temperature 1; the journal keeps no whole distributions. ``outputs`` is
    None where nothing is known of the attempt.
    """

    scores: TokenScores | None = None
    dips: tuple[Dip, ...] = ()
    outputs: tuple[str, ...] | None = None


NO_EVIDENCE = Evidence()


def read_evidence(journal: Path, solve_ids: Iterable[str]) -> Mapping[tuple[str, int], Evidence]:
    """Return what a journal has of solves, by (solve, attempt); one it has not is left out.

    Raises:
        JournalUnreadable: it cannot be read.
    """
    found: dict[tuple[str, int], Evidence] = {}
    with JournalReader(journal) as reader:
        for solve_id in sorted(set(solve_ids)):
            try:
                solve = reader.solve(solve_id)
            except UnknownSolve:
                continue
            outputs = _outputs(reader, solve_id)
            for row in export_rows(reader, solve):
                attempt = row.values["attempt"]
                if isinstance(attempt, int):
                    found[solve_id, attempt] = _evidence(row, tuple(outputs[attempt]))
    return found


def _outputs(reader: JournalReader, solve_id: str) -> defaultdict[int, list[str]]:
    rows = reader.query(
        "SELECT attempt, body FROM events WHERE solve_id = ? AND type = 'attempt.result' "
        "ORDER BY id",
        (solve_id,),
    )
    outputs: defaultdict[int, list[str]] = defaultdict(list)
    for attempt, body in rows:
        outputs[attempt].append(str(orjson.loads(body).get("output", "")))
    return outputs


def _evidence(row: ExportRow, outputs: tuple[str, ...]) -> Evidence:
    told: dict[str, Any] = {"mask": row.mask.tolist()}
    if row.confidence is not None:
        told["confidence"] = [None if np.isnan(x) else float(x) for x in row.confidence]
    scores, dips = read_confidence(told)
    if row.logprobs is not None:
        sampled = -row.logprobs[row.mask.astype(bool)].astype(np.float64)
        known = sampled[np.isfinite(sampled)]
        if len(known):
            scores = replace(scores or TokenScores(), mean_entropy=max(0.0, float(known.mean())))
    return Evidence(scores, dips, outputs)
