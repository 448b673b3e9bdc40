"""The notebook of the contest's benchmarks, a process: `python -m … SETTINGS DISTURBANCES`.

It starts a session and serves `predict`, as the notebook of the run that counts does, and writes
its port to `port`. Disturbances are those that only the process itself can have: a step of its wall
clock, and a second caller with the id at hand.
"""

import fcntl
import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kaggle_notebook import predict as predict_module
from kaggle_notebook import serve
from kaggle_notebook.settings import SessionSettings
from kaggle_notebook.start import start

ROOT = Path(__file__).resolve().parent.parent


def main(settings: dict[str, Any], disturbances: dict[str, float]) -> None:
    """Run the session to its submission.

    Its port is written beside its folder: that may be a disk without room.
    """
    # the contest's package is the user's; the tests have a double of it
    sys.path += [str(ROOT), str(ROOT / "tests" / "kaggle_double" / "site")]
    start(settings)
    original = predict_module.predict
    asked = 0

    def predict(*arguments: Any) -> Any:  # noqa: ANN401 - frames of the gateway
        nonlocal asked
        asked += 1
        if asked == disturbances.get("clock_at"):
            _step_wall_clock(disturbances["clock_step_s"])
            _tell("clock")
        if asked != disturbances.get("twin_at"):
            return original(*arguments)
        frames: list[Any] = []
        twin = threading.Thread(target=lambda: frames.append(original(*arguments)))
        twin.start()
        frame = original(*arguments)
        twin.join()
        _tell("twin")
        if not frame.equals(frames[0]):
            raise AssertionError(f"two calls with one id: {frame} and {frames[0]}")
        return frame

    of_contest = serve.inference_server

    def inference_server(
        settings: SessionSettings, endpoint: Callable[..., Any] = predict
    ) -> serve.InferenceServer:
        with _alone():
            server = of_contest(settings, endpoint)
        port_file(Path.cwd()).write_text(str(getattr(server, "port", 0)), encoding="ascii")
        return server

    serve.inference_server = inference_server
    serve.main(predict)


@contextmanager
def _alone() -> Iterator[None]:
    """Let one notebook of this machine at a time choose its port: in a contest there is one.

    Two at once take an address each of one port, and each the other's gateway.
    """
    with (Path(tempfile.gettempdir()) / "kaggle-port.lock").open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def port_file(folder: Path) -> Path:
    """Return where the notebook of a folder writes its port."""
    return folder.with_name(f"{folder.name}.port")


def _tell(what: str) -> None:
    sys.stderr.write(f"disturbed: {what}\n")
    sys.stderr.flush()


def _step_wall_clock(seconds: float) -> None:
    real = time.time

    def stepped() -> float:
        return real() + seconds

    time.time = stepped


if __name__ == "__main__":
    main(json.loads(sys.argv[1]), json.loads(sys.argv[2]))
