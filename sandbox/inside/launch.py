"""First code of a cold-started kernel's process: confines it, and becomes the kernel.

Run by its path, with the options (`sandbox.cold.LaunchOptions`) as one argument of JSON. They hold
no secret: the message key is in the connection file.
"""

import json
import sys
from functools import partial
from pathlib import Path


def main() -> None:
    """Read the options, confine this process and serve."""
    options = json.loads(sys.argv[1])
    # debugpy costs 130 ms and threads; ipykernel does without where it cannot be imported.
    sys.modules["debugpy"] = None  # type: ignore[assignment]
    root = str(Path(__file__).resolve().parent.parent.parent)
    sys.path.insert(0, root)
    from sandbox.inside.confinement import (  # noqa: PLC0415 - not on the path before
        ConfinementPlan,
        confine_early,
        confine_late,
    )

    plan = ConfinementPlan.from_json(options["plan"])
    confine_early(plan, options["parent"])
    # Everything heavy comes after the limits, which it has to fit in.
    from sandbox.inside.serving import ServingOptions, serve  # noqa: PLC0415

    sys.path.remove(root)
    serving = ServingOptions(
        directory=Path(options["directory"]),
        connection_file=options["connection_file"],
        max_output_chars=options["max_output_chars"],
        ready_descriptor=options["ready_descriptor"],
    )
    serve(serving, seal=partial(confine_late, plan))


if __name__ == "__main__":
    main()
