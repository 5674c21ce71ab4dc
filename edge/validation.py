"""Plain JSON in, checked frozen dataclasses out; every complaint names the field and its value."""

from __future__ import annotations

import dataclasses
import math
import types
from collections.abc import Mapping
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from .errors import ModelError

T = TypeVar("T")

_TYPE_NAMES = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}


def require(fits: bool, field: str, value: object, must: str) -> None:
    """Raise `ModelError` unless a field's value is acceptable.

    Parameters
    ----------
    fits
        Whether the value is acceptable.
    field
        Path of the field in the manifest, such as ``front_end.hop_samples``.
    value
        The value found there.
    must
        What is allowed, worded to follow "it must".
    """
    if not fits:
        raise ModelError(f"{field} is {_shown(value)}; it must {must}")


def decode(kind: type[T], data: object, field: str = "") -> T:
    """Build a dataclass from decoded JSON, strictly: no missing or unknown field, no coercion.

    Understands `int`, `float` (finite; whole numbers are accepted), `bool`, `str`, ``tuple[X,
    ...]`` (a JSON array), ``Mapping[str, X]`` (a JSON object; ``Mapping[str, Any]`` is free-form),
    ``X | None`` and nested dataclasses. A field with a default must be present, too.

    Raises
    ------
    ModelError
        Names the first wrong field, by its path from the top.
    """
    require(isinstance(data, dict), field or "the manifest", data, "be a JSON object {…}")
    assert isinstance(data, dict)
    hints = get_type_hints(kind)
    names = [entry.name for entry in dataclasses.fields(kind)]  # type: ignore[arg-type]
    prefix = f"{field}." if field else ""
    for name in names:
        if name not in data:
            raise ModelError(f"{prefix}{name} is missing")
    for name in data:
        if name not in names:
            raise ModelError(
                f"{prefix}{name} is not a known field; the fields here are {', '.join(names)}"
            )
    return kind(**{name: _value(hints[name], data[name], prefix + name) for name in names})


def _value(kind: Any, data: Any, field: str) -> Any:
    if kind is Any:
        return data
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):  # only X | None occurs
        return None if data is None else _value(arguments[0], data, field)
    if origin is tuple:
        require(isinstance(data, list), field, data, "be a JSON array […]")
        return tuple(
            _value(arguments[0], item, f"{field}[{index}]") for index, item in enumerate(data)
        )
    if origin is Mapping:
        require(isinstance(data, dict), field, data, "be a JSON object {…}")
        return {key: _value(arguments[1], item, f"{field}.{key}") for key, item in data.items()}
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return decode(kind, data, field)
    if kind is float and isinstance(data, int) and not isinstance(data, bool):
        data = float(data) if abs(data) < 2**1000 else math.inf
    right = isinstance(data, kind) and (kind is bool or not isinstance(data, bool))
    require(right, field, data, f"be {_TYPE_NAMES[kind]}")
    if kind is float:
        require(math.isfinite(data), field, data, "be finite")
    return data


def _shown(value: object, limit: int = 60) -> str:
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"
