"""Run the phases of a recipe one after another through scvi-tools' trainer."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import torch
from scvi.model._utils import parse_device_args
from scvi.module.base import BaseModuleClass
from scvi.train import Trainer
from scvi.train._progress import ProgressBar
from scvi.utils import track

from stimpute.train._data import BatchModule
from stimpute.train._plan import LossPlan

HARDWARE_REPORTS = ("lightning.pytorch.utilities.rank_zero", "lightning.pytorch.accelerators.cuda")


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Torch's random numbers from a seed, and the global state as it was afterwards."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


@dataclass
class Phases:
    """What all phases of a training have in common, and what they left behind.

    Attributes
    ----------
    accelerator, devices
        As in Lightning.
    max_epochs
        Upper bound on the epochs of each phase; the recipe's own numbers if None.
    batch_size
        Cells per batch; each phase's own if None.
    early_stopping
        Hold out a tenth of the rows and stop a phase when their loss no longer falls.
    seed
        Seed of everything random.
    plan_kwargs
        Options of :class:`~stimpute.train._plan.LossPlan` that replace the recipe's.
    trainer_kwargs
        Options of scvi-tools' trainer.
    history
        Losses per epoch by phase.
    """

    accelerator: str = "auto"
    devices: int | list[int] | str = "auto"
    max_epochs: int | None = None
    batch_size: int | None = None
    early_stopping: bool = False
    seed: int = 0
    plan_kwargs: dict[str, Any] = field(default_factory=dict)
    trainer_kwargs: dict[str, Any] = field(default_factory=dict)
    history: dict[str, pd.DataFrame] = field(default_factory=dict)

    @property
    def device(self) -> torch.device:
        """Where the networks live between phases."""
        return parse_device_args(self.accelerator, self.devices, return_device="torch")[2]

    def run(
        self,
        name: str,
        module: BaseModuleClass,
        data: BatchModule,
        max_epochs: int,
        *,
        bar: bool = True,
        plan_class: type[LossPlan] = LossPlan,
        **plan_kwargs: Any,
    ) -> None:
        """Train a module.

        Parameters
        ----------
        name
            Name of the phase, in the progress bar and in the history.
        module
            What is trained.
        data
            Its batches.
        max_epochs
            The recipe's number of epochs.
        bar
            Whether the phase is long enough to deserve a progress bar.
        plan_class
            How to minimise.
        plan_kwargs
            The recipe's options of the plan.
        """
        epochs = max_epochs if self.max_epochs is None else min(max_epochs, self.max_epochs)
        plan = plan_class(module, **{**plan_kwargs, **self.plan_kwargs})
        options = dict(self.trainer_kwargs)
        show = options.pop("enable_progress_bar", True) and bar and options.pop("progress_bar_refresh_rate", 1) > 0
        callbacks = [*options.pop("callbacks", []), *([PhaseBar(name)] if show else [])]
        if self.early_stopping and len(data.held_out):
            options = {"early_stopping_monitor": "validation_loss", "early_stopping_patience": 10, **options}
            options |= {"early_stopping": True}
        with quiet(*HARDWARE_REPORTS):
            trainer = Trainer(
                max_epochs=epochs,
                accelerator=self.accelerator,
                devices=self.devices,
                enable_progress_bar=show,
                simple_progress_bar=False,
                callbacks=callbacks,
                **{"log_every_n_steps": 1, **options},
            )
            module.train()
            trainer.fit(plan, data)
        module.eval().to(self.device)
        self._remember(name, trainer)

    def batches(self, tensors: dict[str, torch.Tensor], batch_size: int, **kwargs: Any) -> BatchModule:
        """Batches for one phase, with this training's own size and seed."""
        validation_size = 0.1 if self.early_stopping else 0.0
        return BatchModule(
            tensors, self.batch_size or batch_size, validation_size=validation_size, seed=self.seed, **kwargs
        )

    def _remember(self, name: str, trainer: Trainer) -> None:
        for metric, values in getattr(trainer.logger, "history", {}).items():
            if metric.endswith(("_train", "_validation", "_loss")):
                key = f"{name}_{metric}"
                self.history[key] = pd.concat([self.history[key], values]) if key in self.history else values.copy()
                self.history[key] = self.history[key].reset_index(drop=True).rename_axis("epoch")


class PhaseBar(ProgressBar):
    """scvi-tools' progress bar, with the name of the phase in front."""

    def __init__(self, phase: str) -> None:
        super().__init__()
        self.phase = phase.replace("_", " ")

    def init_train_tqdm(self, trainer: Trainer) -> Any:
        """Make the bar."""
        return track(None, total=trainer.max_epochs, description=self.phase, style="tqdm", disable=self.is_disabled)

    def get_metrics(self, trainer: Trainer, pl_module: LossPlan) -> dict[str, Any]:
        """The losses, without Lightning's version number."""
        return {name: value for name, value in super().get_metrics(trainer, pl_module).items() if name != "v_num"}

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LossPlan) -> None:
        """Say which phase and epoch it is."""
        if self._should_update(trainer.current_epoch, trainer.max_epochs):
            self.main_progress_bar.set_description(f"{self.phase} {trainer.current_epoch + 1}/{trainer.max_epochs}")


@contextlib.contextmanager
def quiet(*names: str) -> Iterator[None]:
    """Silence what some loggers report below a warning."""
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
