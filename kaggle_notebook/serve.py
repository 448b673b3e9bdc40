"""Serves `predict` to the contest's gateway: in the run that counts, or to a local one."""

import importlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol, cast

from kaggle_notebook.build.locate import folders_below
from kaggle_notebook.errors import KaggleError
from kaggle_notebook.fixed_set import read_rows, read_set, score
from kaggle_notebook.output import say
from kaggle_notebook.predict import predict
from kaggle_notebook.reserve import Reserve
from kaggle_notebook.session import Session
from kaggle_notebook.settings import RERUN, Mode, SessionSettings
from kaggle_notebook.start import finish, session_at_work

PACKAGE = "kaggle_evaluation"
MODULE = f"{PACKAGE}.aimo_3_inference_server"

#: The gateway waits fifteen minutes for a server; what holds a port is most often just ending.
_BIND_TRIES = 5
_BIND_PAUSE_S = 1.0


class InferenceServer(Protocol):
    """What the contest's package gives."""

    def serve(self) -> None:
        """Listen; in the run that counts, until the notebook is ended."""

    def run_local_gateway(self, data_paths: tuple[str, ...]) -> None:
        """Ask for every problem of the first file and write `submission.parquet`."""


def main(endpoint: Callable[..., Any] = predict) -> None:
    """Serve until the gateway has what it wants; prints the score of a fixed set.

    `endpoint` is the function that the gateway calls, a real one of the name `predict`.

    Raises:
        KaggleError: the contest's package or the problems cannot be found.
    """
    session = session_at_work()
    server = inference_server(session.settings, endpoint)
    rerun = RERUN in os.environ
    if rerun:
        server.serve()
    else:
        paths = data_paths(session.settings)
        # what cannot be scored is told before it is solved
        fixed = read_set(paths) if session.settings.mode is Mode.FIXED_SET else []
        _run_local(session, server, endpoint, paths)
        if session.settings.mode is Mode.FIXED_SET:
            say(score(fixed, session.record.lines(), session.folder))
    finish()


def _run_local(
    session: Session, server: InferenceServer, endpoint: Callable[..., Any], paths: tuple[str, ...]
) -> None:
    """Have the local gateway ask for everything, with room on the disk for its submission."""
    ids = [row.get("id", "") for row in read_rows(paths[0])]
    session.expect(len(ids))
    reserve = Reserve(session.folder)
    try:
        server.run_local_gateway(paths)
    except Exception:
        if not reserve.is_wanted() or len(session.record) < len(set(ids)):
            raise
        # all is answered, and the journal has filled the disk: asked again, answers are at hand
        session.tell("disk", "it was full: the gateway was run again for its submission")
        session.close()
        reserve.free()
        # with room for it, the last answer takes along those that could not be written
        for line in session.record.lines()[-1:]:
            session.record.add(line)
        inference_server(session.settings, endpoint).run_local_gateway(paths)
    finally:
        reserve.free()


def inference_server(
    settings: SessionSettings, endpoint: Callable[..., Any] = predict
) -> InferenceServer:
    """Return the contest's server of `predict`, bound to its port.

    Raises:
        KaggleError: the package is not found.
    """
    try:
        module = importlib.import_module(MODULE)
    except ModuleNotFoundError:
        # another contest's package of the same name may be installed, and is imported by now
        for name in [each for each in sys.modules if each.partition(".")[0] == PACKAGE]:
            del sys.modules[name]
        sys.path.insert(0, str(_package_folder(settings)))
        importlib.invalidate_caches()
        module = importlib.import_module(MODULE)
    return _bound(lambda: cast(InferenceServer, module.AIMO3InferenceServer(endpoint)))


def _bound(make: Callable[[], InferenceServer]) -> InferenceServer:
    """Make a server, again where its port was taken between being chosen and being bound.

    gRPC says so by a RuntimeError, after the contest's package found the port free.
    """
    for _ in range(_BIND_TRIES - 1):
        try:
            return make()
        except (RuntimeError, OSError) as error:
            say(f"the contest's port: {error}; trying again")
            time.sleep(_BIND_PAUSE_S)
    return make()


def data_paths(settings: SessionSettings) -> tuple[str, ...]:
    """Return the file for the local gateway: that of the settings, else the contest's own.

    Raises:
        KaggleError: there is none, the one that is named does not exist, or several are named.
    """
    if len(settings.data) > 1:
        raise KaggleError(
            f"data {', '.join(settings.data)}: must be one file, as the contest's gateway asks for "
            "the problems of the first alone; put all into one"
        )
    for path in settings.data:
        if not Path(path).is_file():
            raise KaggleError(f"data {path}: no such file; correct it in the notebook's first cell")
    if settings.data:
        return settings.data
    name = "reference.csv" if settings.mode is Mode.FIXED_SET else "test.csv"
    found = [path for path in _below(Path(settings.inputs), name) if _has_problems(path)]
    if not found:
        raise KaggleError(
            f"no {name} with problems is below {settings.inputs}: add the contest's data to the "
            "notebook, or set data to a CSV file of id and problem"
        )
    # other data sets may have files of that name: the contest's own lie beside its package
    return (str(min(found, key=lambda path: not (path.parent / PACKAGE).is_dir())),)


def _package_folder(settings: SessionSettings) -> Path:
    if settings.evaluation:
        return Path(settings.evaluation).expanduser().absolute()
    for path in _below(Path(settings.inputs), f"{MODULE.rpartition('.')[2]}.py"):
        if path.parent.name == PACKAGE:
            return path.parent.parent
    raise KaggleError(
        f"the contest's package {PACKAGE} is not below {settings.inputs}: add the contest's data "
        "to the notebook, or set evaluation to the folder that holds it"
    )


def _below(folder: Path, name: str) -> Iterator[Path]:
    """Yield the files of a name below a folder, the nearest first; links are followed."""
    return (place / name for place, names in folders_below(folder) if name in names)


def _has_problems(path: Path) -> bool:
    try:
        first = next(read_rows(str(path)), {})
    except KaggleError:
        return False
    return {"id", "problem"} <= first.keys()
