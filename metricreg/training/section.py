"""What every part of an experiment file has in common: unknown keys, booleans for numbers and NaN are refused."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


def _integral(value: Any) -> Any:
    """JSON has one kind of number: 4.0 is the integer 4."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Integer = Annotated[int, BeforeValidator(_integral)]
Count = Annotated[Integer, Field(gt=0, le=2**31 - 1)]
Seed = Annotated[Integer, Field(ge=0, le=2**32 - 1)]


class Section(BaseModel):
    """A part of an experiment file, validated once and never changed afterwards."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)
