"""`metricreg plugins`: what is installed, and what became of it."""

from __future__ import annotations

import typer

from metricreg.cli.console import Json, complain, console_of, dump, shown, table_of
from metricreg.registry import default_registry


def plugins(as_json: Json = False) -> None:
    """List the installed plugins: status, version, components, load time, and what is wrong. Exits with 1 if it is."""
    registry = default_registry()
    reports = registry.reports
    if as_json:
        fields = (
            "name",
            "status",
            "distribution",
            "version",
            "components",
            "seconds",
            "problem",
            "mend",
            "warnings",
        )
        dump([{field: getattr(report, field) for field in fields} for report in reports])
    else:
        table = table_of("plugin", "status", "distribution", "components", "ms", "problem")
        for r in reports:
            colour = (
                "dim" if r.status == "blocked" else "green" if r.ok else "yellow" if r.status == "active" else "red"
            )
            table.add_row(
                shown(r.name),
                f"[{colour}]{r.status}[/]",
                shown(f"{r.distribution} {r.version}"),
                str(len(r.components)),
                f"{1000 * r.seconds:.1f}",
                shown(r.complaint),
            )
        console_of(160).print(table)
    for note in registry.notes:
        complain(note, "yellow")
    if registry.notes or not all(report.ok for report in reports):
        raise typer.Exit(1)
