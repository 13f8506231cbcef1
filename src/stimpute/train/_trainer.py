"""Run the training phases of a recipe one after another through scvi-tools' trainer."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import torch
from lightning.pytorch.callbacks import Callback
from scvi.model._utils import parse_device_args
from scvi.module.base import BaseModuleClass
from scvi.train import Trainer
from scvi.train._progress import ProgressBar
from tqdm.auto import tqdm

from stimpute._messages import check_count, check_flag, check_type, warn
from stimpute._screen import can_draw_progress, quiet
from stimpute.train._batches import RowBatches
from stimpute.train._checks import check_one_device, check_plan_options, check_trainer_arguments
from stimpute.train._contexts import interruptible
from stimpute.train._plan import LossPlan

HARDWARE_REPORTS = ("lightning.pytorch.utilities.rank_zero", "lightning.pytorch.accelerators.cuda")
VALIDATION_SHARE = 0.1  # of the rows, with early stopping
MAX_SEED = 2**32 - 1  # of numpy
PATIENCE = 10  # epochs without a lower validation loss before a phase ends
UNTRAINED = "untrained"  # key in `attrs` of a table of the history
LOGGED = ("_train", "_validation", "_loss")  # endings of the quantities that the history keeps


@dataclass(kw_only=True)
class PhaseTrainer:
    """Options that all phases of a training share, and the history of the phases that were run.

    Attributes
    ----------
    accelerator, devices
        As in Lightning.
    max_epochs
        Upper bound on the epochs of each phase; the recipe's own numbers if None.
    batch_size
        Rows per batch; each phase's own number if None.
    early_stopping
        Hold out a tenth of the rows, and stop a phase when their loss no longer falls.
    seed
        Seed of everything random.
    plan_kwargs
        Options of :class:`~stimpute.train._plan.LossPlan` that replace the recipe's.
    trainer_kwargs
        Options of scvi-tools' trainer.
    history
        Losses per epoch by phase; `attrs["untrained"]` of a table is the value before training.
    longest
        The recipe's number of epochs of the longest phase that was run.
    callbacks
        Those in `trainer_kwargs`, with their states, which each phase begins with.
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
    longest: int = 0
    callbacks: dict[Callback, dict[str, Any]] = field(init=False)

    def __post_init__(self) -> None:
        check_count(0, seed=self.seed)
        check_count(1, max_epochs=self.max_epochs, batch_size=self.batch_size)
        check_flag(early_stopping=self.early_stopping)
        check_type(Mapping, plan_kwargs=self.plan_kwargs)
        check_plan_options(self.plan_kwargs)
        check_trainer_arguments(self.trainer_kwargs)
        check_one_device(self.devices)
        if self.seed > MAX_SEED:
            raise ValueError(f"`seed` is {self.seed}; expected at most {MAX_SEED}.")
        self.seed = int(self.seed)  # torch takes no integer of numpy
        given = self.trainer_kwargs.get("callbacks") or []
        callbacks = [given] if isinstance(given, Callback) else list(given)
        for callback in callbacks:
            check_type(Callback, callbacks=callback)
        self.callbacks = {callback: copy.deepcopy(callback.state_dict()) for callback in callbacks}

    @property
    def device(self) -> torch.device:
        """Return the device on which the networks are kept between phases."""
        return parse_device_args(self.accelerator, self.devices, return_device="torch")[2]

    def settings(self) -> dict[str, Any]:
        """Return the arguments that determine what is learned, as plain values; None for the recipe's own."""
        plain = (bool, int, float, str)
        return {
            "seed": self.seed,
            "max_epochs": None if self.max_epochs is None else int(self.max_epochs),
            "batch_size": None if self.batch_size is None else int(self.batch_size),
            "early_stopping": self.early_stopping,
            **{key: value if isinstance(value, plain) else str(value) for key, value in self.plan_kwargs.items()},
        }

    def batches(self, tensors: dict[str, torch.Tensor], batch_size: int, **kwargs: Any) -> RowBatches:
        """Make batches for one phase, with the batch size and the seed of this training.

        Parameters
        ----------
        tensors
            Data by name, with one row per cell or gene.
        batch_size
            The recipe's number of rows per batch.
        kwargs
            `transform`, a function from a batch of rows to the batch that the module gets, and `steps_per_epoch`.
        """
        validation_size = VALIDATION_SHARE if self.early_stopping else 0.0
        size = batch_size if self.batch_size is None else self.batch_size
        return RowBatches(tensors, size, validation_size=validation_size, seed=self.seed, **kwargs)

    def run(
        self,
        name: str,
        module: BaseModuleClass,
        data: RowBatches,
        max_epochs: int,
        *,
        show_progress: bool = True,
        plan_class: type[LossPlan] = LossPlan,
        **plan_kwargs: Any,
    ) -> None:
        """Train a module.

        Parameters
        ----------
        name
            Name of the phase, in the progress bar and in the history.
        module
            The module to train.
        data
            Its batches.
        max_epochs
            The recipe's number of epochs.
        show_progress
            Whether the phase is long enough for a progress bar.
        plan_class
            Training plan.
        plan_kwargs
            The recipe's options of the plan.

        Raises
        ------
        FloatingPointError
            If the weights are no longer finite.
        KeyboardInterrupt
            If the user interrupts the training.
        """
        self.longest = max(self.longest, max_epochs)
        if self.max_epochs is not None:
            max_epochs = min(max_epochs, self.max_epochs)
        plan = plan_class(module, **{**plan_kwargs, **self.plan_kwargs})
        options = self._trainer_options(name, data, show_progress)
        with quiet(*HARDWARE_REPORTS):
            trainer = Trainer(
                max_epochs=max_epochs,
                accelerator=self.accelerator,
                devices=self.devices,
                simple_progress_bar=False,
                **options,
            )
            module.train()
            with interruptible():
                trainer.fit(plan, data)
        module.eval().to(self.device)
        if not all(parameter.isfinite().all() for parameter in module.parameters()):
            raise FloatingPointError(
                f"Training diverged in the phase {name!r}: weights are not finite. Lower the learning rate, for "
                'example `train(plan_kwargs={"lr": 1e-3})`. The model is as it was before this call.'
            )
        self._add_history(name, trainer, plan.untrained)

    def warn_of_idle_bound(self) -> None:
        """Warn if more epochs were asked for than any phase has."""
        if self.max_epochs is not None and self.max_epochs > self.longest > 0:
            warn(
                f"`max_epochs` is {self.max_epochs}, an upper bound: the recipe trains {self.longest} epochs or fewer. "
                "To train longer, make the model with larger hyperparameters, which `model.recipe` lists.",
            )

    def _trainer_options(self, name: str, data: RowBatches, show_progress: bool) -> dict[str, Any]:
        """Complete the user's trainer options with progress bar, logging and early stopping."""
        options = {"log_every_n_steps": 1, **self.trainer_kwargs}
        wanted = options.pop("enable_progress_bar", True) and options.pop("progress_bar_refresh_rate", 1) > 0
        options["enable_progress_bar"] = bool(show_progress and wanted and can_draw_progress())
        callbacks = list(self.callbacks)
        for callback, state in self.callbacks.items():  # each phase begins anew, for example early stopping
            callback.load_state_dict(copy.deepcopy(state))
        options.pop("simple_progress_bar", None)  # of scvi-tools, in place of which phases are drawn
        if options["enable_progress_bar"]:
            callbacks.append(PhaseBar(name))
        options["callbacks"] = callbacks
        if self.early_stopping and len(data.held_out):
            options.setdefault("early_stopping_monitor", "validation_loss")
            options.setdefault("early_stopping_patience", PATIENCE)
            options["early_stopping"] = True
        return options

    def _add_history(self, name: str, trainer: Trainer, untrained: Mapping[str, float]) -> None:
        """Append the logged losses of a phase; a phase that runs again continues its table."""
        for metric, values in getattr(trainer.logger, "history", {}).items():
            if metric.endswith(LOGGED):
                key = f"{name}_{metric}"
                tables = [self.history[key], values] if key in self.history else [values]
                table = pd.concat(tables).reset_index(drop=True).rename_axis("epoch")
                if metric in untrained:
                    table.attrs[UNTRAINED] = tables[0].attrs.get(UNTRAINED, untrained[metric])
                self.history[key] = table


class PhaseBar(ProgressBar):
    """scvi-tools' progress bar, with the name of the phase."""

    def __init__(self, phase: str) -> None:
        super().__init__()
        self.phase = phase.replace("_", " ")

    def init_train_tqdm(self, trainer: Trainer) -> Any:
        """Make the progress bar."""
        return tqdm(total=trainer.max_epochs, desc=self.phase, disable=self.is_disabled)

    def get_metrics(self, trainer: Trainer, pl_module: LossPlan) -> dict[str, Any]:
        """Return the losses, without Lightning's version number."""
        return {name: value for name, value in super().get_metrics(trainer, pl_module).items() if name != "v_num"}

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LossPlan) -> None:
        """Show the phase and the epoch."""
        if self._should_update(trainer.current_epoch, trainer.max_epochs):
            self.main_progress_bar.set_description(f"{self.phase} {trainer.current_epoch + 1}/{trainer.max_epochs}")
