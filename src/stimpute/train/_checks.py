"""Check the arguments of `train` that scvi-tools and Lightning would refuse later, or in other words."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import lightning.pytorch as lightning
from scvi.train import Trainer, TrainingPlan

from stimpute._messages import LARGEST, check_at_least, check_at_most, did_you_mean

UNSUITABLE = {
    "fast_dev_run": "For a quick trial pass `max_epochs=1`.",
    "enable_checkpointing": "A trained model is stored by `model.save`.",
}
DOUBLE = ("64", "64-true")
RATES = ("lr", "weight_decay", "eps")  # options of the plan that are numbers


def check_one_device(devices: int | list[int] | str) -> None:
    """Check that one device is asked for: with more, Lightning starts the user's script again.

    Raises
    ------
    ValueError
        If it is another number.
    """
    if devices == "auto":
        return
    is_one = str(devices) in ("0", "1") and devices != 0  # "0" is the number of a GPU, and 0 is none
    if isinstance(devices, list | tuple):
        is_one = len(devices) == 1
    if not is_one:
        raise ValueError(
            f'`devices` is {devices!r}; expected 1, a list with one number, or "auto". A model trains on one device; '
            "set the number of threads by `scvi.settings.num_threads`."
        )


def check_trainer_arguments(options: Mapping[str, Any]) -> None:
    """Check that scvi-tools' trainer, or Lightning's, has such arguments, and that a training of phases can use them.

    Raises
    ------
    TypeError
        If neither has; the message names those that are spelled most alike.
    ValueError
        If it is `fast_dev_run`, `enable_checkpointing`, or double precision.
    """
    known = {*inspect.signature(Trainer).parameters, *inspect.signature(lightning.Trainer).parameters} - {"kwargs"}
    for name, value in options.items():
        if name not in known:
            hint = did_you_mean(name, known)
            raise TypeError(f"`train` has no argument {name!r}, and neither has `scvi.train.Trainer`.{hint}")
        if value and name in UNSUITABLE:
            raise ValueError(f"`{name}` is {value!r}; expected False. {UNSUITABLE[name]}")
    if str(options.get("precision")) in DOUBLE:
        raise ValueError(f'`precision` is {options["precision"]!r}; expected "32-true", or a lower one.')


def check_plan_options(options: Mapping[str, Any]) -> None:
    """Check that scvi-tools' training plan has options of these names, and that rates are possible.

    Raises
    ------
    TypeError
        If there is no such option, with those that are spelled most alike; or a rate is no number.
    ValueError
        If a rate is negative, not finite or too large.
    """
    known = set(inspect.signature(TrainingPlan).parameters) - {"module", "loss_kwargs"}
    for name in options:
        if name not in known:
            hint = did_you_mean(name, known) or " For the learning rate pass `lr`."
            raise TypeError(f"`plan_kwargs` has {name!r}, which `scvi.train.TrainingPlan` does not have.{hint}")
    for name in RATES:
        if name in options and options[name] is None:
            raise TypeError(f"`{name}` is None; expected a number. Leave it out for the recipe's own.")
        check_at_least(0, **{name: options.get(name)})
        check_at_most(LARGEST, **{name: options.get(name)})
