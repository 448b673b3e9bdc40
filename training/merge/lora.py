"""A trained module of an adapter, and its delta as two matrices for each expert."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.merge.tensor_file import TensorFile, read_floats

Floats = NDArray[np.float32]


class Factors(NamedTuple):
    """The delta `up @ down` of one tensor of the base.

    `down` has shape (experts or 1, rank, in), `up`, with the scaling in it, (experts or 1, out,
    rank). `part` is 0 where the delta is of the gate's rows only, 1 of the up projection's, which
    alternate; None: of all rows.
    """

    part: int | None
    down: Floats
    up: Floats


@dataclass(frozen=True, slots=True)
class Lora:
    """A module of the adapter, checked and not read yet.

    `down` and `up` name A and B, or those of each expert in their order. `stacked`: PEFT's form of
    experts; `turned`: with in and out in each other's places.
    """

    module: str
    file: TensorFile
    down: Sequence[str]
    up: Sequence[str]
    scaling: float
    target: str
    part: int | None
    experts: int
    stacked: bool
    turned: bool = False

    def shapes(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the shapes that `load` gives `down` and `up`."""
        down, up = (self.file.entries[names[0]].shape for names in (self.down, self.up))
        if self.stacked:
            ranks = down[0] // self.experts, up[1] // self.experts
            if self.turned:
                return (self.experts, ranks[1], up[0]), (self.experts, down[1], ranks[0])
            return (self.experts, ranks[0], down[1]), (self.experts, up[0], ranks[1])
        if len(down) == len(up) == 2:
            return (len(self.down), *down), (len(self.up), *up)
        return down, up

    def is_whole(self) -> bool:
        """Whether all experts have matrices of one shape, and ranks of one size where stacked."""
        entries = self.file.entries
        alike = all(
            len({entries[name].shape for name in names}) == 1 for names in (self.down, self.up)
        )
        ranks = entries[self.down[0]].shape[0], entries[self.up[0]].shape[1]
        return alike and not (self.stacked and any(rank % self.experts for rank in ranks))

    def load(self) -> Factors:
        """Read the matrices."""
        down, up = self._read(self.down), self._read(self.up)
        if self.stacked:
            # (experts, rank, columns of A), and (experts, rows of B, rank)
            down = down.reshape(self.experts, -1, down.shape[-1])
            up = up.reshape(up.shape[-2], -1, self.experts).transpose(2, 0, 1)
        if self.turned:
            down, up = up.transpose(0, 2, 1), down.transpose(0, 2, 1)
        down_shape, up_shape = self.shapes()
        return Factors(
            self.part, down.reshape(down_shape), up.reshape(up_shape) * np.float32(self.scaling)
        )

    def _read(self, names: Sequence[str]) -> Floats:
        return np.stack([read_floats(self.file, name) for name in names])
