"""`metricreg doctor`: its options, and what it prints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from metricreg.cli.console import Json, dump
from metricreg.cli.output import say
from metricreg.registry.entry_points import load_entry_points
from metricreg.registry.registry import Registry

if TYPE_CHECKING:
    from metricreg.doctor.examination import ExaminedPlugin


def doctor(
    as_json: Json = False,
    traceback: Annotated[bool, typer.Option("--traceback", help="Show where exceptions were raised.")] = False,
) -> None:
    """Examine every installed plugin and component. Exits with 1 if anything is wrong."""
    registry = Registry(lambda each: load_entry_points(each, strict=False))
    _ = registry.reports  # before torch is imported below, so that it shows which plugin imports it
    from metricreg.doctor.examination import examine, traceback_of

    examined: list[ExaminedPlugin] = []
    rows: list[dict[str, Any]] = []
    for plugin in examine(registry):
        examined.append(plugin)
        report, alone = plugin.report, plugin.alone
        rows.append(
            {
                "name": report.name,
                "status": report.status,
                "distribution": report.distribution,
                "version": report.version,
                "file": report.file,
                "seconds": report.seconds if alone is None else alone.seconds,
                "imports_torch": None if alone is None else alone.imports_torch,
                "ok": plugin.ok,
                "problems": list(plugin.problems),
                "mend": list(plugin.mend),
                "advice": list(plugin.advice),
                "components": [
                    {"kind": c.kind, "name": c.name, "class": c.path, "problem": c.problem} for c in plugin.components
                ],
            }
        )
        if traceback:
            rows[-1]["tracebacks"] = [traceback_of(error) for error in plugin.exceptions]
        if not as_json:
            _show(rows[-1])
    wrong = sum(not plugin.ok for plugin in examined) + len(registry.notes)
    if as_json:
        dump({"ok": not wrong, "plugins": rows, "notes": list(registry.notes)})
    else:
        for note in registry.notes:
            say(f"{note}\n")
        say(f"{wrong} of these {'has' if wrong == 1 else 'have'} a problem" if wrong else "nothing is wrong")
    if wrong:
        raise typer.Exit(1)


def _show(row: dict[str, Any]) -> None:
    say(f"{row['name']}: {row['status']}, {row['distribution']} {row['version']}")
    lines = [("file", row["file"] or "none")]
    if row["status"] == "active":
        torch = {None: "", True: ", imports torch", False: ", without torch"}[row["imports_torch"]]
        lines.append(("load", f"{1000 * row['seconds']:.1f} ms{torch}"))
        count, broken = len(row["components"]), sum(c["problem"] is not None for c in row["components"])
        lines.append(("components", f"{count}, {f'{broken} broken' if broken else 'all built'}"))
    is_blocked = row["status"] == "blocked"
    lines += [("blocked" if is_blocked else "problem", problem) for problem in row["problems"]]
    lines += [("mend", mend) for mend in row["mend"]] + [("advice", advice) for advice in row["advice"]]
    for heading, text in lines:
        say(f"  {heading:<11} {text}")
    for lines_of_one in row.get("tracebacks", ()):
        say("".join(f"    {line}\n" for line in lines_of_one), end="")
    say("")
