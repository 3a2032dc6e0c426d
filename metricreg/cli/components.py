"""`metricreg list` and `describe`: what is installed."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from metricreg.cli.console import Json, console_of, dump, shown, singular, table_of
from metricreg.errors import SpecError, cut
from metricreg.registry import KINDS, default_registry
from metricreg.registry.unknown_name import suggest_any


def _kind_of(name: str) -> tuple[str, str]:
    """The kind of a component that is given by its name alone, and the name.

    Raises:
        SpecError: no kind has it, or several have.
    """
    kind, registry = singular(name), default_registry()
    if kind in KINDS:
        raise SpecError(f"which {kind}? metricreg describe {kind} NAME; metricreg list {kind} lists them", "")
    having = [kind for kind in KINDS if name in registry.names(kind)]
    having = having or [kind for kind in KINDS if registry.now_called(kind, name)]
    if len(having) == 1:
        return having[0], name
    if having:
        ways = " or ".join(f"metricreg describe {kind} {name}" for kind in having)
        raise SpecError(f"'{name}' is the name of a {' and of a '.join(having)}: {ways}", "")
    meant = suggest_any(registry, name)
    hint = f"did you mean {meant}? If not, " if meant else ""
    raise SpecError(f"no kind has a component '{cut(name)}'; {hint}metricreg list shows all", "")


def list_components(
    kind: Annotated[str | None, typer.Argument(help=f"One of {', '.join(KINDS)}; all if left out.")] = None,
    as_json: Json = False,
) -> None:
    """List the installed components. Imports none of them."""
    registry = default_registry()
    kind = None if kind is None else singular(kind)
    if kind is not None:
        registry.names(kind)  # refuses an unknown kind
    entries = [entry for entry in registry if kind in (None, entry.kind)]
    if as_json:
        dump([{"kind": e.kind, "name": e.name, "class": e.path, "distribution": e.distribution} for e in entries])
        return
    table = table_of("kind", "name", "distribution", "class")
    for e in entries:
        table.add_row(e.kind, e.name, shown(e.distribution), shown(e.path))
    console_of(160).print(table)


def describe(
    kind: Annotated[str, typer.Argument(help=f"One of {', '.join(KINDS)}; or a name that only one kind has.")],
    name: Annotated[str | None, typer.Argument(help="Of a component, as `metricreg list` shows it.")] = None,
    as_json: Json = False,
) -> None:
    """Describe a component: what it computes, its parameters with types, ranges and defaults, and a spec of it."""
    from metricreg.spec.describe import describe as described

    found = described(*(_kind_of(kind) if name is None else (singular(kind), name)))
    if as_json:
        dump(found.as_json())
        return
    console = console_of(120)
    origin = shown(f"({found.path}, {found.distribution})")
    console.print(f"[bold]{found.kind} {found.name}[/bold]  {origin}\n")
    console.print(shown(found.text) + "\n")
    if found.parameters:
        table = table_of("parameter", "type", "default", "")
        for p in found.parameters:
            table.add_row(p.name, shown(p.type), shown(p.default), shown(p.text))
        console.print(table)
    console.print("\n[bold]In a spec[/bold]  " + shown(json.dumps(found.example)))
    formers = [*found.former_names, *(f"{f} ({p.name})" for p in found.parameters for f in p.former_names)]
    if formers:
        console.print("[bold]Formerly[/bold]   " + shown(", ".join(formers)))
