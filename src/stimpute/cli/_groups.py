"""Add the fields of dataclasses to the options of a command."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, get_type_hints


def changed_options(options: Any) -> list[str]:
    """List the options of a group whose value is not the default, as written on the command line."""
    hints = get_type_hints(type(options), include_extras=True)
    changed = []
    for option in fields(options):
        if getattr(options, option.name) != _default(option):
            info = hints[option.name].__metadata__[0]
            changed.append(info.default)  # inside `Annotated`, typer keeps the first flag there
    return changed


def expand_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command one option for every field of its parameters that are dataclasses.

    typer makes the options of a command from its signature. A command that takes `data: DataOptions` gets the options
    of that class by this decorator, and is called with an instance of it.
    """
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {name: hint for name, hint in hints.items() if is_dataclass(hint)}
    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(command).parameters.values():
        if parameter.name in groups:
            parameters += _group_parameters(groups[parameter.name])
        else:
            parameters.append(parameter.replace(annotation=hints[parameter.name]))

    @functools.wraps(command)
    def run(**values: Any) -> None:
        for name, group in groups.items():
            own = {option.name: values.pop(option.name) for option in fields(group)}
            values[name] = group(**own)
        command(**values)

    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def _group_parameters(group: Any) -> list[inspect.Parameter]:
    """Make a keyword-only parameter for each field of a dataclass."""
    hints = get_type_hints(group, include_extras=True)
    parameters = []
    for option in fields(group):
        default = _default(option)
        if default is MISSING:
            default = inspect.Parameter.empty
        kind = inspect.Parameter.KEYWORD_ONLY
        parameters.append(inspect.Parameter(option.name, kind, default=default, annotation=hints[option.name]))
    return parameters


def _default(option: Any) -> Any:
    """Return the default of a dataclass field, or `MISSING`."""
    if option.default_factory is not MISSING:
        return option.default_factory()
    return option.default
