"""Code that a kernel runs before a lease's first cell: imports and the seeds."""

#: The names that the prompt promises to the model.
DEFAULT_STARTUP_CODE = """\
import collections
import decimal
import fractions
import functools
import itertools
import math
import random

import mpmath
import numpy
import numpy as np
import scipy
import sympy
import sympy as sp

mpmath.mp.dps = 64
"""

#: What cells import most beside the names above (counted in recorded solutions).
DEFAULT_PRELOAD = (
    "numpy",
    "scipy",
    "scipy.integrate",
    "scipy.linalg",
    "scipy.optimize",
    "scipy.special",
    "sympy",
    "mpmath",
)
DEFAULT_PRELOAD_IF_INSTALLED = ("gmpy2", "networkx")

#: numpy's legacy generator takes 32 bits.
_SEED_RANGE = 2**32

# sympy.core.random draws from a generator of its own; what is not imported needs no seed.
_SEEDING_TEMPLATE = """\
def _seed_generators(seed):
    import random
    import sys

    random.seed(seed)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(seed)
    if "sympy" in sys.modules:
        from sympy.core.random import seed as seed_sympy

        seed_sympy(seed)


_seed_generators({seed})
del _seed_generators
"""


def seeding_code(seed: int) -> str:
    """Python source that seeds random, numpy's legacy generator and sympy's from `seed` mod 2^32.

    `numpy.random.default_rng()` takes fresh entropy from the system, seeded or not.
    """
    return _SEEDING_TEMPLATE.format(seed=seed % _SEED_RANGE)
