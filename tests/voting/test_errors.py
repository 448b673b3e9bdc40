"""The error tree is as its docstring draws it, and the package is as pure as it says."""

import ast
import inspect
import sys
from pathlib import Path

from voting import errors


def test_every_error_is_in_the_tree_and_drawn_in_it() -> None:
    classes = dict(inspect.getmembers(errors, inspect.isclass))
    assert set(classes) > {"VotingError"}
    for name, error in classes.items():
        assert issubclass(error, errors.VotingError)
        assert name in (errors.__doc__ or "")


def test_the_package_needs_only_pure_modules_numpy_and_scipy() -> None:
    impure = {"os", "io", "time", "datetime", "random", "socket", "pathlib", "subprocess", "sys"}
    for path in Path(inspect.getfile(errors)).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module]
            for name in {name.partition(".")[0] for name in names} - {"voting", "numpy", "scipy"}:
                assert name in sys.stdlib_module_names, f"{path.name} imports {name}"
                assert name not in impure, f"{path.name} imports {name}"
