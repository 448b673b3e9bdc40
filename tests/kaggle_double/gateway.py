"""The contest's gateway: asks for one problem at a time, in random order, and takes no nonsense.

As a process of its own, for a rerun: `python -m tests.kaggle_double.gateway CSV [SECONDS [PORT]]`,
with the seconds in which the inference server must have started, and the port where it is if not on
the contest's.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl

from tests.kaggle_double.relay import Client

SUBMISSION = "submission.parquet"
RESULT = "result.json"


class InvalidSubmission(Exception):
    """A prediction that the gateway refuses: this ends the run."""


class Gateway:
    """Asks `client` for the problems of a CSV file and writes `submission.parquet`."""

    def __init__(
        self, data_paths: tuple[str, ...], client: Client, seed: int | None = None
    ) -> None:
        self._path = data_paths[0]
        self._client = client
        self._seed = seed

    def run(self) -> None:
        """Ask for everything. Raises what ends a run."""
        answers, kinds = [], set()
        for row in self.rows():
            # a frame unpacks to its columns: series of one row, the answer's too where there is one
            prediction = self._client.send("predict", *row)
            answers.append(checked(prediction, row.select("id")))
            kinds.add(type(prediction))
        if len(kinds) > 1:
            raise InvalidSubmission("frames of two libraries: they are put together at the end")
        submission = pl.concat(answers, how="vertical_relaxed").select("id", "answer")
        submission.write_parquet(SUBMISSION)

    def rows(self) -> Iterator[pl.DataFrame]:
        """Yield frames of one row, in random order."""
        problems = pl.read_csv(self._path)
        shuffled = problems.sample(fraction=1.0, shuffle=True, seed=self._seed)
        yield from shuffled.iter_slices(n_rows=1)


def checked(prediction: Any, ids: pl.DataFrame) -> pl.DataFrame:
    """Return a prediction as a polars frame under the ids that were asked for.

    Raises:
        InvalidSubmission: it is no frame of exactly one row with `id` and `answer`, or has nulls.
    """
    if isinstance(prediction, pd.DataFrame):
        prediction = pl.from_pandas(prediction)
    if not isinstance(prediction, pl.DataFrame):
        raise InvalidSubmission(f"a prediction of type {type(prediction)}")
    if len(prediction) != len(ids):
        raise InvalidSubmission(f"{len(prediction)} rows: exactly {len(ids)} must come")
    if set(prediction.columns) != {"id", "answer"}:
        raise InvalidSubmission(f"columns {prediction.columns}: must be id and answer")
    if any(prediction.null_count().row(0)):
        raise InvalidSubmission("a prediction with nulls")
    answer = prediction["answer"][0]
    if not prediction["answer"].dtype.is_integer() or not 0 <= answer <= 99_999:
        raise InvalidSubmission(f"answer {answer!r}: must be an integer from 0 to 99999")
    return prediction.with_columns(ids)


def main(path: str, startup_limit_s: str = "900", port: str = "") -> None:
    """Run against an inference server that is somewhere on the ports; write `result.json`."""
    ports = [int(port)] if port else None
    client = Client(ports=ports, startup_limit_s=float(startup_limit_s))
    error = ""
    try:
        Gateway((path,), client).run()
    except Exception as raised:  # noqa: BLE001 - whatever it is ends the run and is told
        error = f"{type(raised).__name__}: {raised}"
    finally:
        client.close()
    Path(RESULT).write_text(json.dumps({"Succeeded": not error, "Error": error}))


if __name__ == "__main__":
    main(*sys.argv[1:])
