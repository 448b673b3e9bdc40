"""The double of the contest's package does as the real one: payloads, ports, calls, deadlines."""

import io
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from tests.kaggle_double.messages import Payload
from tests.kaggle_double.payload import decode, encode
from tests.kaggle_double.relay import PORTS, Client, DeadlineExceeded, NeverStarted, define_server
from tests.kaggle_notebook.notebooks import ROOT, SITE


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ("text", 1),
        (True, 2),
        (-3, 3),
        (0.5, 4),
        (None, 5),
        ([1, "a", None], 6),
        ((1, 2), 7),
        ({"a": [1.5]}, 8),
        (np.int64(7), 14),
    ],
)
def test_values_cross_as_they_are_in_their_field(value: object, field: int) -> None:
    data = encode(value).SerializeToString()
    # a field's tag is its number and its wire type
    assert data[0] >> 3 == field
    assert decode(Payload.FromString(data)) == value


def test_frames_series_and_arrays_cross() -> None:
    polars, pandas = pl.DataFrame({"a": [1], "b": ["x"]}), pd.DataFrame({"a": [1], "b": ["x"]})
    assert decode(encode(polars)).equals(polars)
    assert decode(encode(pandas)).equals(pandas)
    assert decode(encode(polars["b"])).equals(polars["b"])
    series = decode(encode(pandas["b"]))
    assert (series.name, series.tolist()) == ("b", ["x"])
    assert decode(encode(np.arange(3))).tolist() == [0, 1, 2]
    assert decode(encode(io.BytesIO(b"x"))).getvalue() == b"x"
    with pytest.raises(TypeError):
        encode(object())


def test_calls_go_one_by_one_and_only_later_ones_have_a_deadline() -> None:
    at_work: list[int] = []

    def predict(seconds: float) -> int:
        at_work.append(1)
        time.sleep(seconds)
        most = len(at_work)
        at_work.pop()
        return most

    server, port = define_server(predict)
    assert port in PORTS
    server.start()
    client = Client(ports=[port], deadline_s=0.2)
    try:
        assert client.send("predict", 0.4) == 1
        with pytest.raises(DeadlineExceeded):
            client.send("predict", 0.4)
        found: list[int] = []
        patient = [Client(ports=[port]) for _ in range(3)]
        threads = [
            threading.Thread(target=lambda each=each: found.append(each.send("predict", 0.05)))
            for each in patient
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == [1, 1, 1]
        for each in patient:
            each.close()
    finally:
        client.close()
        server.stop(0)


def test_a_server_that_never_starts_is_told() -> None:
    with pytest.raises(NeverStarted):
        Client(ports=[9], startup_limit_s=0.2).send("predict")


@pytest.mark.parametrize("endpoint", [lambda: 0, print, Client])
def test_only_named_functions_are_served(endpoint: Any) -> None:  # noqa: ANN401
    with pytest.raises(ValueError, match="named functions"):
        define_server(endpoint)


def test_it_has_the_contests_import_name_where_its_folder_is_on_the_path() -> None:
    code = (
        "from kaggle_evaluation.aimo_3_inference_server import AIMO3InferenceServer as S; S.serve"
    )
    path = os.pathsep.join([str(SITE), str(ROOT)])
    subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": path}, check=True, timeout=30)
    package = Path(ROOT, "kaggle_notebook")
    assert not [p for p in package.rglob("*.py") if "from tests" in p.read_text(encoding="utf-8")]
