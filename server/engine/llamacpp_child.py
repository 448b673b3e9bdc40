"""The llama.cpp server as a process of its own: `python -m server.engine.llamacpp_child`.

The parent writes one line of JSON (`ChildConfig`) to standard input, so that the key is on no
command line, and keeps the pipe open; its end is this process' end. One line of JSON on standard
output says the address once requests are accepted.
"""

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import orjson

#: <linux/prctl.h>
PR_SET_PDEATHSIG = 1
#: Tokens that are prefilled at once.
BATCH_TOKENS = 256


@dataclass(frozen=True, slots=True)
class ChildConfig:
    """What the child needs: sizes in tokens, `gpu_layers` -1 for all that fit."""

    model_path: str
    api_key: str
    slots: int
    context_tokens: int
    threads: int
    gpu_layers: int
    slot_dir: str

    def to_line(self) -> bytes:
        """Return the line that `main` reads."""
        return orjson.dumps(asdict(self)) + b"\n"


def main(parameters: Callable[[ChildConfig], Any] | None = None) -> None:
    """Serve until standard input ends or a signal comes; `parameters` stand for our own."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    _die_with_parent()
    config = ChildConfig(**orjson.loads(sys.stdin.buffer.readline()))
    threading.Thread(target=_exit_at_end_of_input, daemon=True).start()
    try:
        server = _serve((parameters or common_parameters)(config))
    except Exception as error:  # noqa: BLE001 - the extension raises what it likes
        # llama.cpp has written why; a traceback of ours would push it out of the last lines.
        os.write(sys.stderr.fileno(), f"llama.cpp did not start: {error}\n".encode())
        # The interpreter's own end would wait for the thread that reads standard input, and abort.
        os._exit(1)
    sys.stdout.buffer.write(orjson.dumps({"url": server.listening_address}) + b"\n")
    sys.stdout.buffer.flush()
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    # No destructors: llama.cpp's threads may be in the middle of a decode.
    os._exit(0)


def _serve(parameters: Any) -> Any:  # noqa: ANN401 - the extension module has no types
    import xllamacpp  # noqa: PLC0415 - loading takes 100 MB; only this process needs it

    return xllamacpp.Server(parameters)


def common_parameters(config: ChildConfig) -> Any:  # noqa: ANN401 - as above
    """Return llama.cpp's `CommonParams` of the server that the gateway expects."""
    import xllamacpp  # noqa: PLC0415 - as above

    params = xllamacpp.CommonParams()
    params.model.path = config.model_path
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [config.api_key]
    params.n_parallel = config.slots
    # One cache for all slots: with one each, llama.cpp decodes together only slots whose numbers
    # follow each other, and attempts that call a tool or have ended leave gaps. With every other of
    # 8 slots at work one cache is 1.6 times as fast, without gaps a few per cent slower
    # (benchmarks/slot_gaps.py, two cores).
    params.kv_unified = True
    params.kv_unified_per_slot = config.context_tokens
    params.n_ctx = config.slots * config.context_tokens
    params.cpuparams.n_threads = config.threads
    params.cpuparams_batch.n_threads = config.threads
    # A cancelled prefill ends with its batch: 256 tokens are three to four seconds on two cores.
    params.n_batch = BATCH_TOKENS
    params.n_ubatch = BATCH_TOKENS
    params.n_gpu_layers = config.gpu_layers
    params.slot_save_path = config.slot_dir + "/"
    params.endpoint_slots = True
    params.endpoint_metrics = True
    params.ui = False
    # The slots are pinned by our own table; its cache in RAM would move states behind our back.
    params.cache_ram_mib = 0
    params.cache_idle_slots = False
    params.warmup = False
    params.verbosity = 1
    # Comments while nothing is made, which tell nobody anything; older versions send none.
    if hasattr(params, "sse_ping_interval"):
        params.sse_ping_interval = -1
    # Threads of its HTTP server: each open stream holds one, and aborts need a free one.
    params.n_threads_http = 2 * config.slots + 4
    return params


def _exit_at_end_of_input() -> None:
    while sys.stdin.buffer.read(4096):
        pass
    os._exit(0)


def _die_with_parent() -> None:
    """Ask Linux for SIGKILL at the parent's death: loading holds the GIL, so the pipe is late."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    main()
