"""`metricreg lock`, `diff` and `migrate`: what they read, and what they write."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from metricreg.cli.console import Json, dump
from metricreg.cli.output import say
from metricreg.errors import Problem, SpecError

Output = Annotated[
    str | None, typer.Option("--output", "-o", help="A file to write instead, or - to print; .json whatever FILE is.")
]
File = Annotated[Path, typer.Argument(help="A spec or experiment file: .json, .toml, .yaml.")]


def lock(
    file: File,
    exact: Annotated[
        bool, typer.Option("--exact", help="The installed versions and no others, also for what is there.")
    ] = False,
    upgrade: Annotated[bool, typer.Option("--upgrade", help="Write anew what is there.")] = False,
    output: Output = None,
) -> None:
    """Write the versions of the distributions that a spec uses into its `requires`."""
    from metricreg.spec.lock import lock as locked
    from metricreg.spec.rewrite import member

    source = _Source(file)
    before = source.spec.get("requires", {}) if isinstance(source.spec, dict) else {}
    with source.located():
        after = locked(source.spec, exact=exact, upgrade=upgrade)["requires"]
    kept, lines = dict(before), []
    for name, specifier in after.items():
        if kept.get(name) == specifier:
            continue
        lines.append(f"requires {name} {specifier}" + (f", was {kept[name]}" if name in kept else ""))
        old, kept = kept.get(name), kept | {name: specifier}
        if "requires" in source.spec:
            source.change(member((*source.inside, "requires"), name, specifier, old), source.spec | {"requires": kept})
    if "requires" not in source.spec:
        source.change(member(source.inside, "requires", after), source.spec | {"requires": after})
    source.write(output, lines or ["requires what it uses already"])


def migrate(file: File, output: Output = None) -> None:
    """Rewrite a spec in the newest version of the format, with the names that components and parameters have now."""
    from metricreg.spec.migrate import renamed, renamings_of
    from metricreg.spec.rewrite import anew, word
    from metricreg.spec.versions import VERSION, in_newest_version

    source, lines = _Source(file), []
    with source.located():
        newest = in_newest_version(source.spec)
        renamings = renamings_of(newest)
    if newest != source.spec:
        source.change(anew, newest)
        lines.append(f"version {VERSION} of the format")
    for count, renaming in enumerate(renamings, 1):
        source.change(word(renaming.former, renaming.current), renamed(newest, renamings[:count]))
        lines.append(f"{source.where}{renaming.pointer}: {renaming.current}, was {renaming.former}")
    source.write(output, lines or ["is up to date"])


def diff(
    a: Annotated[str, typer.Argument(help="A file (.json, .toml, .yaml), JSON, or the name of a loss.")],
    b: Annotated[str, typer.Argument(help="Another.")],
    as_json: Json = False,
) -> None:
    """Show what differs between two specs, every default written out. Exits with 1 if anything does, 2 on errors."""
    from metricreg.spec.diff import differences
    from metricreg.spec.document import spec_in

    documents = [_document(given) for given in (a, b)]
    experiments = all(spec_in(document)[1] for document in documents)
    first, second = (_complete(document, given, experiments) for document, given in zip(documents, (a, b), strict=True))
    found = list(differences(first, second))
    if as_json:
        dump([vars(each) for each in found])
    else:
        for each in found:
            say(str(each))
    if found:
        raise typer.Exit(1)


class _Source:
    """A file with a spec, and the text that it becomes.

    Attributes:
        spec: as it is now.
        where: a JSON pointer to it.
        inside: the keys that lead to it.
    """

    def __init__(self, file: Path) -> None:
        from metricreg.spec.document import read_text, spec_in, text_of

        self.file = file
        self.text = text_of(file)
        self.document = read_text(self.text, file.suffix, f"cannot read {file}")
        self.spec, self.where = spec_in(self.document)
        self.inside: tuple[str, ...] = ("pipeline",) if self.where else ()
        self.changes: list[Any] = []

    def change(self, candidates: Any, spec: Any) -> None:
        """Note one more change, and what the spec is then."""
        self.spec = spec
        self.document = self.document | {"pipeline": spec} if self.inside else spec
        self.changes.append((candidates, self.document))

    @contextmanager
    def located(self) -> Iterator[None]:
        """Errors about the spec name the file, and have pointers that resolve in it."""
        try:
            yield
        except SpecError as error:
            problems = [Problem(self.where + each.pointer, each.message, each.given) for each in error.problems]
            raise SpecError(problems, f"{self.file}: {error.title}") from error

    def write(self, output: str | None, lines: list[str]) -> None:
        """Write the changed text, or print it; then say what was changed."""
        from metricreg.spec.rewrite import as_json, rewritten, write_whole

        target = self.file if output in (None, "-") else Path(str(output))
        if target.suffix.lower() == self.file.suffix.lower():
            text = rewritten(self.text, self.file.suffix, self.changes, f"cannot rewrite {self.file}")
        elif target.suffix.lower() == ".json":
            text = as_json(self.document)
        else:
            suffixes = " or ".join(dict.fromkeys((self.file.suffix, ".json")))
            raise SpecError(f"give a file with the extension {suffixes}", f"cannot write {target}")
        if output == "-":
            say(text, end="")
            return
        if output is not None or self.changes:
            write_whole(target, text)
        for line in lines:
            say(f"{target}: {line}")


def _document(given: str) -> dict[str, Any]:
    from metricreg.spec.document import SUFFIXES, is_written, load, loads

    if is_written(given):
        return loads(given)
    return load(given) if given.lower().endswith(SUFFIXES) else {"loss": given}


def _complete(document: dict[str, Any], given: str, experiment: bool) -> dict[str, Any]:
    """With every default; a whole experiment, or the spec alone."""
    from metricreg.spec.diff import with_defaults
    from metricreg.spec.document import spec_in

    try:
        if not experiment:
            return with_defaults(spec_in(document)[0])
        from metricreg.training.experiment import Experiment

        parsed = Experiment.parse(document)
        return parsed.resolved(with_defaults(parsed.pipeline), Path(given).parent)
    except SpecError as error:
        raise SpecError(error.problems, f"{given}: {error.title}") from error
