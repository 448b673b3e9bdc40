"""What every section of the settings is."""

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator


class Section(BaseModel):
    """Base of the sections: immutable, unknown names refused, numbers finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _truth_is_no_number(cls, value: object, info: ValidationInfo) -> object:
        # pydantic takes true as 1; variables and flags, which are text, stay as they are.
        name = info.field_name
        if isinstance(value, bool) and name and cls.model_fields[name].annotation in {int, float}:
            raise ValueError("must be a number")
        return value
