"""Shared base of all description objects: frozen, strict, and every number with its unit."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class SpecModel(BaseModel):
    """A frozen description; unknown keys, NaN and infinity are refused."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        validate_default=True,
        strict=True,
    )


def quantity(unit: str, **kwargs: Any) -> Any:
    """Return a pydantic field whose JSON schema carries ``unit``."""
    return Field(json_schema_extra={"unit": unit}, **kwargs)
