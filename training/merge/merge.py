"""A LoRA adapter into a model: every file of the model again, with the trained tensors changed."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from training.errors import MergeRefused, reading, writing
from training.files import append_line, copy_file, read_lines, sha256, whole_folder, write_json
from training.merge.adapter import CONFIG, WEIGHTS, Lora, read_adapter
from training.merge.base import BLOCKS, OTHER_FORMATS, SCALES, Base, open_base
from training.merge.report import MXFP4, TensorReport
from training.merge.tensor_file import copy_range, write_at
from training.merge.tensors import merge_floats, merge_quantised
from training.provenance import provenance

#: The report's name in the output.
REPORT = "merge.json"
#: Below this cosine of wanted and applied delta a merge into MXFP4 is refused. At 0.7 two deltas of
#: the same norm differ by more than three quarters of it: the result is then not much nearer to
#: what was trained than the base is.
LEAST_COSINE = 0.7
#: At this error a tensor is no nearer to what was trained than the base is.
_NO_NEARER = 1.0
_PROGRESS = ".progress.jsonl"

#: Is told the tensor, and how many of how many are done.
Observe = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class _Task:
    """Tensors that are made together: one that is copied, or all of one weight."""

    name: str
    tensors: tuple[str, ...]
    loras: tuple[Lora, ...] = ()


def merge(
    base_folder: Path,
    adapter_folder: Path,
    target: Path,
    *,
    least_cosine: float = LEAST_COSINE,
    observe: Observe | None = None,
) -> list[TensorReport]:
    """Write the merged model to the folder `target`; return the reports of its changed tensors.

    One tensor is at work at a time, in pieces; the folder appears under its name when it is whole.
    Stopped, the same call goes on after the last tensor that was finished.

    Raises:
        BadBase, BadAdapter, BadTensors: an input is wrong; nothing was merged.
        MergeRefused: a tensor's cosine is below `least_cosine`, and it is one of MXFP4 or no nearer
            to what was trained than the base is.
        OutputExists: the output is there, or is that of another job.
        OutputFailed: the output cannot be written.
    """
    base = open_base(base_folder)
    deltas = read_adapter(adapter_folder, base)
    inputs = [adapter_folder / CONFIG, adapter_folder / WEIGHTS]
    job = {"base": base.identity(), "adapter": [sha256(path) for path in inputs]}
    with whole_folder(target, job) as work:
        reports = _merge_tensors(base, deltas, work, least_cosine, observe)
        _copy_others(base, work)
        told = provenance("merge", {"least_cosine": least_cosine}, inputs)
        told["base"] = {"folder": base_folder.name, "files": base.identity()}
        told["files"] = {name: sha256(work / name) for name in sorted(base.files)}
        told["tensors"] = [each.as_json() for each in reports]
        write_json(work / REPORT, told)
        (work / _PROGRESS).unlink()
    return reports


class _Ledger:
    """Enters tasks as done when their bytes are on disk, one behind the work.

    The disk takes a tensor while the next one is computed. What `settle` has not seen may be done
    again after a stop.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="merge-disk")
        self._last: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._disk.shutdown()

    def enter(self, task: str, report: dict[str, Any] | None, descriptors: list[int]) -> None:
        """Enter a task that has been written to open files; waits for the one before it."""
        self.settle()
        self._last = self._disk.submit(self._enter, task, report, descriptors)

    def settle(self) -> None:
        """Wait until all tasks are entered; what went wrong with the last one is raised."""
        if self._last is not None:
            self._last.result()

    def _enter(self, task: str, report: dict[str, Any] | None, descriptors: list[int]) -> None:
        for descriptor in descriptors:
            os.fdatasync(descriptor)
        append_line(self._path, {"task": task, "report": report})


def _tasks(base: Base, deltas: dict[str, list[Lora]]) -> list[_Task]:
    """Return what is to be done: everything in the base, in the order of its files."""
    merged: dict[str, str] = {}
    for target in deltas:
        names = [target] if target in base.where else [target + BLOCKS, target + SCALES]
        merged |= dict.fromkeys(names, target)
    tasks: dict[str, _Task] = {}
    for tensor in base.where:
        weight = merged.get(tensor)
        if weight is None:
            tasks[tensor] = _Task(tensor, (tensor,))
        elif weight not in tasks:
            tensors = tuple(name for name, whose in merged.items() if whose == weight)
            tasks[weight] = _Task(weight, tensors, tuple(deltas[weight]))
    return list(tasks.values())


def _merge_tensors(
    base: Base,
    deltas: dict[str, list[Lora]],
    work: Path,
    least_cosine: float,
    observe: Observe | None,
) -> list[TensorReport]:
    done = {line["task"]: line["report"] for line in read_lines(work / _PROGRESS)}
    reports: list[TensorReport] = []
    tasks = _tasks(base, deltas)
    with _outputs(base, work) as outputs, _Ledger(work / _PROGRESS) as ledger:
        for count, task in enumerate(tasks):
            if observe is not None:
                observe(task.name, count, len(tasks))
            if task.name in done:
                told = done[task.name]
            else:
                told = _carry_out(base, task, outputs)
                files = {base.where[tensor].path.name for tensor in task.tensors}
                ledger.enter(task.name, told, [outputs[name] for name in files])
            if told is not None:
                reports.append(TensorReport(**told))
                _refuse_erased(reports[-1], least_cosine)
        ledger.settle()
    if observe is not None:
        observe("", len(tasks), len(tasks))
    return reports


def _carry_out(base: Base, task: _Task, outputs: dict[str, int]) -> dict[str, Any] | None:
    """Write a task's tensors; return its report, None for a copy."""
    report: TensorReport | None = None
    if task.loras:
        merge_one = merge_floats if task.name in base.where else merge_quantised
        report = merge_one(
            base, task.name, [each.load() for each in task.loras], _put(base, outputs)
        )
    else:
        entry, file = base.entry(task.name), base.where[task.name]
        copy_range(file.path, outputs[file.path.name], entry.begin, entry.end)
    return None if report is None else report.as_json()


def _put(base: Base, outputs: dict[str, int]) -> Callable[[str, NDArray[np.generic], int], None]:
    def put(tensor: str, rows: NDArray[np.generic], first: int) -> None:
        entry, file = base.entry(tensor), base.where[tensor]
        row_bytes = (entry.end - entry.begin) // entry.shape[0]
        write_at(outputs[file.path.name], rows, entry.begin + first * row_bytes)

    return put


@contextmanager
def _outputs(base: Base, work: Path) -> Iterator[dict[str, int]]:
    """Open the output files, each with its room on the disk and its header; yield descriptors."""
    with ExitStack() as stack:
        outputs: dict[str, int] = {}
        for name, file in base.files.items():
            descriptor = os.open(work / name, os.O_RDWR | os.O_CREAT, 0o644)
            stack.callback(os.close, descriptor)
            with writing(work / name):
                os.posix_fallocate(descriptor, 0, file.size)
                os.pwrite(descriptor, file.header, 0)
            outputs[name] = descriptor
        yield outputs


def _refuse_erased(report: TensorReport, least_cosine: float) -> None:
    if not is_small(report, least_cosine):
        return
    if report.format == MXFP4:
        advice = (
            "train with attention only, serve the adapter unmerged, merge into BF16 weights, or "
            "lower --least-cosine"
        )
    elif report.error >= _NO_NEARER:
        advice = "train for longer, serve the adapter unmerged, or lower --least-cosine"
    else:  # rounding to the nearest float only ever comes nearer
        return
    relative = 100 * report.wanted_norm / report.base_norm if report.base_norm else 0.0
    raise MergeRefused(
        f"{report.name}: cosine of trained and applied change {report.cosine:.3f}, must be at "
        f"least {least_cosine:g}: the change is {relative:.2g} % of the weights, less than "
        f"{report.format} can hold; {advice}"
    )


def is_small(report: TensorReport, least_cosine: float = LEAST_COSINE) -> bool:
    """Whether so much of a trained change was rounded away that somebody should know."""
    return report.cosine < least_cosine


def _copy_others(base: Base, work: Path) -> None:
    """Copy the configuration, the tokenizer and whatever else lies beside the weights.

    Weights in other formats are the base's still, and would be taken for merged ones.
    """
    with reading(base.folder):
        others = [path for path in sorted(base.folder.iterdir()) if path.is_file()]
    for path in others:
        is_weights = path.suffix == ".safetensors" or path.suffix in OTHER_FORMATS
        if not is_weights and path.name != REPORT and path.name[0] != ".":
            copy_file(path, work / path.name)
