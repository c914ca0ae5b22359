"""The values of a configuration that its digest covers, by a rule that lets configurations grow.

A format records the fields that existed when it was defined. Fields that are added later count only once they
leave their default: at the default, a run is the same as before the field existed, and keeps its digest.
"""

from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel


@dataclass(frozen=True)
class IdentityFormat:
    """The fields of a model that identify it.

    Attributes:
        original: names of the fields that always count, by section: "" for those of the model itself, a
            dotted name for those of a section or of the items of a list. Recorded when the format was
            defined and never extended afterwards; any other field counts only if it is not at its default.
            A section that is not a field here may have fields here: they count once it is not at its default.
        excluded: dotted names that never count, with everything below them.
    """

    original: Mapping[str, tuple[str, ...]]
    excluded: Set[str] = frozenset()

    def values(self, model: BaseModel) -> dict[str, Any]:
        """The values that count, nested, as JSON values."""
        return self._section("", model, model.model_dump(mode="json"))

    def _section(self, section: str, model: BaseModel, dumped: Mapping[str, Any]) -> dict[str, Any]:
        original, prefix = self.original.get(section, ()), f"{section}." if section else ""
        counted: dict[str, Any] = {}
        for name, field in type(model).model_fields.items():
            # Fields that pydantic excludes from dumps never count.
            if prefix + name in self.excluded or name not in dumped:
                continue
            value = getattr(model, name)
            if name in original or value != field.get_default(call_default_factory=True):
                counted[name] = self._value(prefix + name, value, dumped[name])
        return counted

    def _value(self, name: str, value: Any, dumped: Any) -> Any:
        if isinstance(value, BaseModel):
            return self._section(name, value, dumped)
        if isinstance(value, (list, tuple)):
            return [self._value(name, *item) for item in zip(value, dumped, strict=True)]
        return dumped
