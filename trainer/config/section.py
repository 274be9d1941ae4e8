"""What all sections of a recipe have in common."""

from __future__ import annotations

from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator

LARGEST = 10**15
"""The largest number that any key takes: beyond it, estimates in dollars and hours are no numbers any more."""


class Section(BaseModel):
    """One section of the recipe: frozen, closed, documented by its attribute docstrings."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, validate_default=True, allow_inf_nan=False
    )

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_truth(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse ``true`` and ``false`` for a number: Python takes them for 1 and 0."""
        if isinstance(value, bool):
            annotation = cls.model_fields[str(info.field_name)].annotation
            if bool not in (annotation, *get_args(annotation)):
                raise ValueError("true and false are no values of this key")
        return value

    @field_validator("*", mode="after")
    @classmethod
    def _refuse_huge(cls, value: Any) -> Any:
        """Refuse a number with which nothing can be estimated."""
        if isinstance(value, (int, float)) and abs(value) > LARGEST:
            raise ValueError(f"give a number of at most {LARGEST:.0e}")
        return value
