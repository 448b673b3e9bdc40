"""`quorum models`: presets of models that are known by name."""

import math
from pathlib import Path
from typing import Annotated

import typer

from server.presets.catalogue import MACHINES, preset, presets
from server.presets.configuration import chosen_machine, configuration
from server.presets.errors import UnknownPreset


def models_command(
    name: Annotated[
        str | None,
        typer.Argument(help="A model: its name, or a folder or file that begins with it."),
    ] = None,
    machine: Annotated[
        str | None,
        typer.Option(
            help="The machine: h100, l4x4 or cpu; alone it lists that one's models.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """List known models and how they are served, or print one's quorum.toml."""
    if name is None:
        _list(machine)
        return
    known, chosen = preset(name)
    model = name if Path(name).exists() else ""
    typer.echo(configuration(known, chosen, chosen_machine(known, chosen, machine), model))


def _list(wanted: str | None) -> None:
    if wanted is not None and wanted not in MACHINES:
        raise UnknownPreset(f"machine {wanted!r}: must be one of {', '.join(MACHINES)}")
    rows = [("model", "dialect", "machine", "weights", "context", "attempts", "whole contexts")]
    for name, chosen in presets().items():
        for machine, layout in chosen.machines.items():
            if wanted not in (None, machine):
                continue
            fitting = chosen.full_contexts(machine)
            rows.append(
                (
                    name,
                    chosen.dialect,
                    machine,
                    f"{layout.quantisation}, {layout.weights_gb:g} GB",
                    str(layout.context_tokens),
                    str(layout.attempts),
                    "unknown" if math.isinf(fitting) else f"{fitting:.0f}",
                )
            )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        typer.echo("  ".join(cells).rstrip())
    for machine, hardware in MACHINES.items():
        typer.echo(f"{machine}: {hardware.title}")
    typer.echo("quorum models NAME --machine MACHINE prints its quorum.toml")
