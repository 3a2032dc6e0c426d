"""What became of each plugin, in a report."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from metricreg.errors import PluginError

if TYPE_CHECKING:
    from metricreg.registry.registry import Registry

Status = Literal["active", "blocked", "incompatible", "conflict", "error"]


@dataclass(frozen=True)
class PluginReport:
    """What became of one entry point.

    Args:
        name: the entry point's name, which is the plugin's namespace.
        status: `active`; `blocked` by METRICREG_BLOCK or METRICREG_ONLY; `incompatible` with this metricreg; in
            `conflict` with another distribution over the namespace; or `error`.
        distribution: the distribution that declares the entry point.
        version: its version.
        components: what it registered, as `kind name`.
        seconds: how long importing and asking it took.
        problem: why it is not active, in a sentence; None if it is.
        mend: what to do about it, a command where there is one.
        warnings: what else is wrong with it, one sentence each; its other components work.
        file: where its module is; None if there is none.
        imports_torch: whether torch was imported by that; None if it was there before, or the plugin was not loaded.
        exception: the exception behind `problem`, if there was one.
    """

    name: str
    status: Status
    distribution: str
    version: str
    components: tuple[str, ...] = ()
    seconds: float = 0.0
    problem: str | None = None
    mend: str | None = None
    warnings: tuple[str, ...] = ()
    file: str | None = None
    imports_torch: bool | None = None
    exception: BaseException | None = field(default=None, compare=False, repr=False)

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong with it. Nothing is with one that somebody blocked."""
        return self.status in ("active", "blocked") and not self.warnings

    @property
    def complaint(self) -> str:
        """All that is wrong with it, and how to mend it; empty if nothing is."""
        return "; ".join(filter(None, (self.problem, *self.warnings, self.mend)))

    def __str__(self) -> str:
        who = f"plugin '{self.name}' of {self.distribution} {self.version}".rstrip()
        if self.status == "active":
            return f"{who} works but for this: {self.complaint}" if self.complaint else f"{who} is active"
        return f"{who} is left out ({self.status}): {self.complaint}"


def require_plugins(registry: Registry) -> None:
    """Raise `PluginError` if anything is wrong with a plugin that is not blocked, or with the words that block."""
    wrong = [report for report in registry.reports if not report.ok]
    texts = [*map(str, wrong), *registry.notes]
    if texts:
        text = texts[0] if len(texts) == 1 else "\n  ".join([f"{len(texts)} problems with plugins:", *texts])
        raise PluginError(text) from next((r.exception for r in wrong if r.exception is not None), None)
