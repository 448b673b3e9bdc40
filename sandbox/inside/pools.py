"""Pools of workers in interrupted cells: what the cell had them do ends, and they stay usable.

A pool's variable outlives its cell like any other. What manages it must then live too: without its
threads, or with a lock that an ended worker held, the next task would wait for ever. So workers
that wait are left alone, tasks of the cell fail by name, and pools that had some begin anew.

The standard library has no other way to all this than its own private names: whatever is called
otherwise in another version is left as it is.
"""

import queue
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError
from contextlib import suppress
from types import FrameType, ModuleType
from typing import Any

#: How long an old pool may take for its end, in seconds; what is left of its workers is killed.
_END_WAIT_S = 1.0

_INTERRUPTED = "the cell that gave this task was interrupted"

#: Modules in whose functions a worker waits for a task, or tells what came of one.
_WAITING = frozenset(f"multiprocessing.{name}" for name in ("queues", "connection", "synchronize"))

#: The loops of workers, by module and function.
_WORKER_LOOPS = frozenset(
    {("multiprocessing.pool", "worker"), ("concurrent.futures.process", "_process_worker")}
)
_THREAD_LOOPS = frozenset(
    {("multiprocessing.pool", "worker"), ("concurrent.futures.thread", "_worker")}
)
_TELLS_RESULT = ("concurrent.futures.process", "_sendback_result")

#: Modules of threads that hand on what others compute. They end with what they serve.
_MANAGING = frozenset(
    {"multiprocessing.queues", "multiprocessing.resource_sharer", "concurrent.futures.process"}
)


class CellInterrupted(BaseException):
    """What a task in a pool of threads gets when its cell is interrupted."""

    def __str__(self) -> str:
        return _INTERRUPTED


class _IdleThreads(threading.Semaphore):
    """Counts an executor's threads that wait, without those that have ended for it."""

    def __init__(self, ended: set[threading.Thread]) -> None:
        super().__init__(0)
        self._ended = ended

    def release(self, n: int = 1) -> None:
        """See the base class: one that ends still says that it is ready for the next task."""
        if threading.current_thread() not in self._ended:
            super().release(n)


def is_waiting_worker(frame: FrameType | None) -> bool:
    """Whether a process, interrupted at this frame, is a pool's worker between two tasks.

    It may hold a lock that its pool's other workers wait for.
    """
    waits = False
    while frame is not None:
        place = _place(frame)
        if place[0] not in _WAITING and place != _TELLS_RESULT:
            return waits and place in _WORKER_LOOPS
        waits = True
        frame = frame.f_back
    return False


def _place(frame: FrameType) -> tuple[object, str]:
    return frame.f_globals.get("__name__"), frame.f_code.co_name


def is_managing(thread: Any) -> bool:  # noqa: ANN401 - with attributes that its type does not tell
    """Whether a thread computes nothing, but serves a pool or a queue of processes."""
    target = getattr(thread, "_target", None)
    module, name = getattr(target, "__module__", ""), getattr(target, "__name__", "")
    if type(thread).__module__ in _MANAGING or module in _MANAGING:
        return True
    return bool(module == "multiprocessing.pool" and str(name).startswith("_handle_"))


def is_executors(thread: threading.Thread) -> bool:
    """Whether a thread is a worker of a `ThreadPoolExecutor`."""
    target: object = getattr(thread, "_target", None)
    return getattr(target, "__module__", None) == "concurrent.futures.thread"


def is_waiting_thread(thread: threading.Thread) -> bool:
    """Whether a thread is a pool's worker between two tasks; the next can be of any cell."""
    target: object = getattr(thread, "_target", None)
    if getattr(target, "__module__", None) not in {place[0] for place in _THREAD_LOOPS}:
        return False
    frame = sys._current_frames().get(thread.ident or 0)  # noqa: SLF001 - public, for debuggers
    return frame is not None and _place(frame) in _THREAD_LOOPS


def drop_tasks(ending: list[threading.Thread]) -> None:
    """Have pools forget the tasks of a cell that was interrupted.

    `ending` are the threads that end with it.
    """
    for executor in {id(each): each for each in _executors_of(ending)}.values():
        with suppress(Exception):
            _begin_executor_anew(executor)
    for pool in _pools():
        with suppress(Exception):
            if _had_tasks(pool, ending):
                _begin_pool_anew(pool)
    for manager in _managers_of_processes():
        with suppress(Exception):
            executor = manager.executor_reference()
            if manager.pending_work_items or getattr(executor, "_broken", None):
                _begin_process_executor_anew(manager, executor)


def worker_ids() -> set[int]:
    """Ids of the processes that live on when a cell is interrupted, as they serve its pools."""
    found: set[int] = set()
    with suppress(Exception):
        for pool in _pools():
            found.update(worker.pid for worker in pool._pool)  # noqa: SLF001 - see the module
    with suppress(Exception):
        for manager in _managers_of_processes():
            found.update(manager.processes or ())
    tracker = getattr(_module("multiprocessing.resource_tracker"), "_resource_tracker", None)
    return {*found, getattr(tracker, "_pid", None) or 0}


def _module(name: str) -> ModuleType | None:
    """A module that a cell has imported: without it, it has no pools."""
    return sys.modules.get(name)


def _owners() -> list[Any]:
    """Objects of multiprocessing that have something to clean up behind them."""
    registry = getattr(_module("multiprocessing.util"), "_finalizer_registry", {})
    references = [getattr(each, "_weakref", None) for each in list(registry.values())]
    return [owner for each in references if each is not None and (owner := each()) is not None]


def _pools() -> list[Any]:
    kind = getattr(_module("multiprocessing.pool"), "Pool", ())
    # Not isinstance, which asks an object of another type for its class.
    pools = [owner for owner in _owners() if issubclass(type(owner), kind)]
    return [pool for pool in pools if pool._state != "TERMINATE"]  # noqa: SLF001


def _managers_of_processes() -> list[Any]:
    """The threads that manage a `ProcessPoolExecutor` each."""
    return list(getattr(_module("concurrent.futures.process"), "_threads_wakeups", ()))


def _executors_of(threads: list[Any]) -> Iterator[Any]:
    for thread in filter(is_executors, threads):
        with suppress(Exception):
            executor = thread._args[0]()  # noqa: SLF001
            if executor is not None:
                yield executor


def _begin_executor_anew(executor: Any) -> None:  # noqa: ANN401
    """Have an executor start new threads: of the old ones, who does not end waits for ever."""
    with executor._shutdown_lock:  # noqa: SLF001
        old, executor._work_queue = executor._work_queue, queue.SimpleQueue()  # noqa: SLF001
        executor._idle_semaphore = _IdleThreads(executor._threads)  # noqa: SLF001
        executor._threads = set()  # noqa: SLF001
        with suppress(queue.Empty):
            while True:
                if (task := old.get_nowait()) is not None:
                    task.future.set_exception(CancelledError(_INTERRUPTED))
        if executor._shutdown:  # noqa: SLF001
            old.put(None)  # which told its threads so


def _had_tasks(pool: Any, ending: list[threading.Thread]) -> bool:  # noqa: ANN401
    workers = pool._pool  # noqa: SLF001
    is_of_threads = bool(workers) and isinstance(workers[0], threading.Thread)
    # Threads of earlier cells were not ended, nor have they lost a task.
    return bool(pool._cache) and (not is_of_threads or not set(workers).isdisjoint(ending))  # noqa: SLF001


def _begin_pool_anew(pool: Any) -> None:  # noqa: ANN401
    results, is_open = list(pool._cache.values()), pool._state == "RUN"  # noqa: SLF001
    # A worker can hold it up for ever: one that heeds no signal, or was killed with a lock.
    ending = threading.Thread(target=pool.terminate, daemon=True)
    ending.start()
    ending.join(_END_WAIT_S)
    if is_open:
        options = (pool._processes, pool._initializer, pool._initargs)  # noqa: SLF001
        # Not `__init__` of its class, which for threads, and contexts, takes other arguments.
        kind = _module("multiprocessing.pool").Pool  # type: ignore[union-attr]
        kind.__init__(pool, *options, pool._maxtasksperchild, pool._ctx)  # noqa: SLF001
    for result in results:
        with suppress(Exception):
            _fail(result)


def _fail(result: Any) -> None:  # noqa: ANN401
    """Have whoever waits for a result of a pool, or asks for it later, hear what happened."""
    failure = (False, CancelledError(_INTERRUPTED))
    if hasattr(result, "_event"):
        result._success, result._value = failure  # noqa: SLF001
        result._event.set()  # noqa: SLF001
        return
    with result._cond:  # noqa: SLF001
        result._items.append(failure)  # noqa: SLF001
        result._length = result._index  # noqa: SLF001 - no more will come
        result._cond.notify_all()  # noqa: SLF001


def _begin_process_executor_anew(manager: Any, executor: Any) -> None:  # noqa: ANN401
    # Without a reference to its thread, the program has shut it down.
    is_open = getattr(executor, "_executor_manager_thread", None) is manager
    for worker in list((manager.processes or {}).values()):
        worker.kill()
    # It fails what is pending: BrokenProcessPool.
    manager.join(_END_WAIT_S)
    if is_open and not manager.is_alive():
        type(executor).__init__(
            executor,
            executor._max_workers,  # noqa: SLF001
            executor._mp_context,  # noqa: SLF001
            executor._initializer,  # noqa: SLF001
            executor._initargs,  # noqa: SLF001
            max_tasks_per_child=executor._max_tasks_per_child,  # noqa: SLF001
        )
