"""What the serving cell finds of the contest, wherever the inputs are mounted."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from kaggle_notebook import serve
from kaggle_notebook.current import current_session, set_current
from kaggle_notebook.errors import KaggleError
from kaggle_notebook.predict import predict as answered
from kaggle_notebook.reserve import FILE
from kaggle_notebook.serve import _package_folder, data_paths, inference_server, main
from kaggle_notebook.settings import RERUN, read_settings
from kaggle_notebook.start import start
from tests.kaggle_double import relay
from tests.kaggle_notebook.notebooks import SITE, write_problems
from tests.server.journal.disks import fill, mounted

CONTEST = "competitions/ai-mathematical-olympiad-progress-prize-3"


def put_contest(folder: Path) -> Path:
    (folder / "kaggle_evaluation").mkdir(parents=True)
    (folder / "kaggle_evaluation" / "aimo_3_inference_server.py").touch()
    (folder / "test.csv").write_text("id,problem\n0,How many?\n")
    (folder / "reference.csv").write_text("id,problem,answer\n0,How many?,1\n")
    return folder


@pytest.mark.parametrize("mount", ["contest", CONTEST, "a/b/c/d/e/f"])
def test_package_and_data_are_found_below_the_inputs_that_the_notebook_names(
    tmp_path: Path, mount: str
) -> None:
    contest = put_contest(tmp_path / mount)
    settings = read_settings({"inputs": str(tmp_path)})
    assert _package_folder(settings) == contest
    assert data_paths(settings) == (str(contest / "test.csv"),)
    scored = read_settings({"inputs": str(tmp_path), "mode": "fixed-set"})
    assert data_paths(scored) == (str(contest / "reference.csv"),)


def test_another_data_set_s_file_of_that_name_is_not_taken_for_the_contest_s(
    tmp_path: Path,
) -> None:
    (tmp_path / "another").mkdir()
    (tmp_path / "another" / "test.csv").write_text("id,problem\n1,Why?\n")
    settings = read_settings({"inputs": str(tmp_path)})
    assert data_paths(settings) == (str(tmp_path / "another" / "test.csv"),)
    contest = put_contest(tmp_path / CONTEST)
    assert data_paths(settings) == (str(contest / "test.csv"),)


def test_what_is_not_there_is_told_with_the_place(tmp_path: Path) -> None:
    settings = read_settings({"inputs": str(tmp_path)})
    for look in (_package_folder, data_paths):
        with pytest.raises(KaggleError, match=f"not below {tmp_path}|is below {tmp_path}"):
            look(settings)


@pytest.fixture
def taken_port() -> Iterator[int]:
    # gRPC is content with one of the addresses of the host.
    both = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if both else socket.AF_INET
    with socket.create_server(("", 0), family=family, dualstack_ipv6=both) as holder:
        yield holder.getsockname()[1]


def with_ports(monkeypatch: pytest.MonkeyPatch, ports: Iterator[int]) -> None:
    monkeypatch.syspath_prepend(str(SITE))
    monkeypatch.setattr(serve, "_BIND_PAUSE_S", 0.0)
    monkeypatch.setattr(relay, "_free_port", lambda: next(ports))


def test_a_port_that_is_taken_in_the_moment_it_is_chosen_is_chosen_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken_port: int
) -> None:
    free = relay._free_port()
    with_ports(monkeypatch, iter([taken_port, taken_port, free]))
    server: Any = inference_server(read_settings({"inputs": str(tmp_path)}), answered)
    try:
        assert server.port == free
    finally:
        server.server.stop(0)


def test_a_port_that_cannot_be_had_is_told_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken_port: int
) -> None:
    tried: list[int] = []

    def ports() -> Iterator[int]:
        while True:
            tried.append(taken_port)
            yield taken_port

    with_ports(monkeypatch, ports())
    with pytest.raises(RuntimeError, match="bind"):
        inference_server(read_settings({"inputs": str(tmp_path)}), answered)
    assert len(tried) == serve._BIND_TRIES


def test_a_disk_that_is_full_at_the_end_has_room_for_the_submission(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_problems(tmp_path, {f"p{n}": "How many?" for n in range(3)})
    monkeypatch.syspath_prepend(str(SITE))
    with mounted(tmp_path / "disk") as disk, monkeypatch.context() as patch:
        patch.chdir(disk)

        def predict(*arguments: Any) -> Any:  # noqa: ANN401 - as the gateway sends it
            frame = answered(*arguments)
            if not (disk / "log").exists():
                fill(disk / "log")
            return frame

        given = {"mode": "timing", "timing_s": 0, "data": str(tmp_path / "problems.csv")}
        start({**given, "folder": str(disk / "session")})
        try:
            main(predict)
        finally:
            set_current(None)
        assert sorted(pl.read_parquet("submission.parquet")["id"]) == ["p0", "p1", "p2"]
        assert not (disk / "session" / FILE).exists()


def test_several_files_are_refused_as_the_gateway_asks_for_one(tmp_path: Path) -> None:
    paths = [str(tmp_path / name) for name in ("a.csv", "b.csv")]
    with pytest.raises(KaggleError, match=r"a\.csv, .*b\.csv: must be one file"):
        data_paths(read_settings({"data": paths}))


@pytest.mark.parametrize("rerun", [True, False])
def test_a_cell_that_is_run_again_answers_anew_and_a_run_that_counts_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rerun: bool
) -> None:
    class Server:
        """Is asked for one problem each time."""

        asked = 0

        def serve(self) -> None:
            Server.asked += 1
            answered(f"p{self.asked}", "How many?")

        def run_local_gateway(self, data_paths: tuple[str, ...]) -> None:
            del data_paths
            self.serve()

    if rerun:
        monkeypatch.setenv(RERUN, "1")
    monkeypatch.setattr(serve, "inference_server", lambda *_: Server())
    write_problems(tmp_path, {"p1": "How many?"})
    given = {"mode": "timing", "timing_s": 0, "data": str(tmp_path / "problems.csv")}
    first = start({**given, "folder": str(tmp_path / "session")})
    try:
        main()
        assert first.ended
        main()
        again = current_session()
        assert again is not None
        assert [line.id for line in again.record.lines()] == (["p1", "p2"] if rerun else ["p2"])
        assert (again.id == first.id) is rerun
        assert (again.clock.started == first.clock.started) is rerun
    finally:
        set_current(None)
