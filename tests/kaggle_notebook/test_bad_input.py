"""What a gateway may send amiss, over the contest's gRPC: answered, noted once, the run goes on."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from kaggle_notebook.predict import predict
from kaggle_notebook.session import Session
from tests.kaggle_double.gateway import checked
from tests.kaggle_double.relay import Client, define_server
from tests.kaggle_notebook.test_predict import session_of

PROBLEM = "What is $6 \\times 7$?"
ID = pl.Series("id", ["a1"])
STATEMENT = pl.Series("problem", [PROBLEM])
#: What the server of these tests answers to any problem, and what is answered to none.
SOLVED, NOT_ASKED = 21, 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("session")


@pytest.fixture(scope="module")
def session(folder: Path) -> Iterator[Session]:
    settings = {"default_answer": NOT_ASKED, "limit_s": 120.0, "problems": 50}
    with session_of("picky", folder, **settings) as opened:
        yield opened


@pytest.fixture(scope="module")
def gateway(session: Session) -> Iterator[Client]:
    """The contest's end of a connection to `predict`."""
    del session
    server, port = define_server(predict)
    server.start()
    client = Client(ports=[port], startup_limit_s=20, deadline_s=30)
    yield client
    client.close()
    server.stop(0).wait()


def asked(gateway: Client, *arguments: object, **named: object) -> int:
    """Send what a gateway sends, and take the answer as it does."""
    prediction = gateway.send("predict", *arguments, **named)
    return int(checked(prediction, pl.DataFrame({"id": ["a1"]}))["answer"][0])


@pytest.mark.parametrize(
    "arguments",
    [
        (ID, STATEMENT),
        (ID, STATEMENT, pl.Series("answer", [42])),
        (pl.Series("key", ["k1"]), pl.Series("task", [PROBLEM])),
        (STATEMENT, pl.Series("id", ["k2"])),
        (pl.Series([PROBLEM]), pl.Series(["k3"])),
        (pl.DataFrame({"id": ["k4"], "problem": [PROBLEM]}),),
        (pl.DataFrame({"problem": [PROBLEM], "id": ["k5"], "answer": [1]}),),
        (pd.DataFrame({"id": ["k6"], "problem": [PROBLEM]}),),
        (pd.Series(["k7"], name="id"), pd.Series([PROBLEM], name="problem")),
        (pl.Series("id", [8]), STATEMENT),
        (pl.Series("id", [8.5]), STATEMENT),
        (pl.Series("id", [None], dtype=pl.String), STATEMENT),
        (pl.Series("id", [float("nan")]), STATEMENT),
        (np.array(["k11"]), np.array([PROBLEM])),
        ("k12", PROBLEM),
        (["k13"], (PROBLEM,)),
        ({"id": "k14", "problem": PROBLEM},),
    ],
)
def test_a_problem_that_can_be_read_is_solved(gateway: Client, arguments: tuple[Any, ...]) -> None:
    assert asked(gateway, *arguments) == SOLVED


def test_each_of_several_rows_is_answered(gateway: Client) -> None:
    ids = pl.DataFrame({"id": ["k9", "k10", "k18"]})
    problems = pl.Series("problem", [PROBLEM, " ", PROBLEM])
    rows = checked(gateway.send("predict", ids["id"], problems), ids)
    assert rows["id"].to_list() == ["k9", "k10", "k18"]
    assert rows["answer"].to_list() == [SOLVED, NOT_ASKED, SOLVED]


def test_by_name_it_is_the_same(gateway: Client) -> None:
    assert asked(gateway, problem=STATEMENT, id=pl.Series(["n1"])) == SOLVED


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        (None, None),
        (pl.Series("id", ["z1"]), pl.Series("problem", [None], dtype=pl.String)),
        (pl.Series("id", ["z2"]), pl.Series("problem", [" \n"])),
        (pl.Series("id", [], dtype=pl.String), pl.Series("problem", [], dtype=pl.String)),
        (pl.DataFrame({"id": [], "problem": []}),),
        (pl.DataFrame(), pl.DataFrame()),
    ],
)
def test_where_there_is_no_problem_the_default_is_answered(
    gateway: Client, arguments: tuple[Any, ...]
) -> None:
    assert asked(gateway, *arguments) == NOT_ASKED


def test_each_oddity_is_logged_once_and_the_run_goes_on(
    gateway: Client, session: Session, folder: Path
) -> None:
    for number in range(3):
        renamed = pl.Series("nombre", [f"r{number}"]), pl.Series("enunciado", [PROBLEM])
        assert asked(gateway, *renamed) == SOLVED
    assert asked(gateway, pl.Series("id", ["last"]), STATEMENT) == SOLVED
    session._disk.do(lambda: None, 10)
    told = [json.loads(line) for line in (folder / "session.log").read_text().splitlines()]
    notes = [each["text"] for each in told if each["kind"] == "input"]
    assert len(notes) == len(set(notes))
    assert sum("nombre" in note for note in notes) == 1
