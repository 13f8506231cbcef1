"""Adapt scvi-tools' training plan to networks that are not variational."""

from __future__ import annotations

from typing import Any, TypeAlias

import torch
from scvi.module.base import BaseModuleClass, LossOutput
from scvi.train import TrainingPlan
from torch.func import functional_call

from stimpute._messages import check_at_least

Sums: TypeAlias = dict[str, tuple[torch.Tensor | float, int]]  # of values over rows, and the number of rows

UNTRAINED_EVERY = 5  # batches: the untrained network meets the same data as the others, at a small cost
PLATEAU_OPTIONS = ("reduce_lr_on_plateau", "lr_factor", "lr_patience", "lr_threshold", "lr_scheduler_metric", "lr_min")
UNUSED_OPTIONS = ("optimizer", "optimizer_creator", *PLATEAU_OPTIONS)  # by one cycle with AdamW
ADAM_BETAS = (0.9, 0.98)  # a short memory of squared gradients suits a few hundred steps


class LossPlan(TrainingPlan):
    """Minimize a module's loss and log it, with all optimizer options of scvi-tools' plan.

    Parameters
    ----------
    module
        The module to train. Only its parameters that require gradients are trained.
    eps, weight_decay
        PyTorch's defaults in place of those that scvi-tools chose for variational models.
    plan_kwargs
        Further options of :class:`scvi.train.TrainingPlan`: `optimizer`, `lr`, `reduce_lr_on_plateau`, ...
    """

    def __init__(
        self, module: BaseModuleClass, *, eps: float = 1e-8, weight_decay: float = 0.0, **plan_kwargs: Any
    ) -> None:
        plan_kwargs.setdefault("lr_scheduler_metric", "validation_loss")
        super().__init__(module, eps=eps, weight_decay=weight_decay, **plan_kwargs)
        self._epoch_sums: Sums = {}
        self._untrained_sums: Sums = {}
        self._first_weights: dict[str, torch.Tensor] = {}

    @property
    def untrained(self) -> dict[str, float]:
        """Means over every fifth batch of the training with the weights from before it, by the logged names."""
        return {name: float(total / n) for name, (total, n) in self._untrained_sums.items()}

    def forward(self, batch: dict[str, torch.Tensor]) -> LossOutput:
        """Compute the loss of one batch."""
        return self.module(batch, loss_kwargs=self.loss_kwargs)[2]

    def _add_to_epoch(self, output: LossOutput, part: str) -> None:
        """Add a batch to the sums of the epoch; Lightning's own logging per step costs as much as a small network."""
        self._add_to(self._epoch_sums, output, part)

    def _add_to(self, sums: Sums, output: LossOutput, part: str) -> None:
        values = {f"{part}_loss": output.loss.detach()}
        values.update({f"{name}_{part}": value for name, value in output.extra_metrics.items()})
        n_rows = output.n_obs_minibatch
        for name, value in values.items():
            total, n = sums.get(name, (0.0, 0))
            sums[name] = (total + n_rows * value, n + n_rows)

    def _log_epoch(self) -> None:
        for name, (total, n) in self._epoch_sums.items():
            self.log(name, total / n, prog_bar=name.endswith("_loss"))
        self._epoch_sums = {}

    def on_train_start(self) -> None:
        """Keep the weights from before training."""
        self._first_weights = {name: weight.detach().clone() for name, weight in self.module.named_parameters()}

    @torch.no_grad()
    def _evaluate_untrained(self, batch: dict[str, torch.Tensor]) -> None:
        """Add what the untrained network makes of a batch; no random number is taken from the training."""
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices):
            options = {"loss_kwargs": self.loss_kwargs}
            output = functional_call(self.module, self._first_weights, (batch,), options)[2]
        self._add_to(self._untrained_sums, output, "train")

    def training_step(self, batch: dict[str, torch.Tensor], batch_idx: int) -> torch.Tensor:
        """Compute the training loss of one batch, and now and then also that of the untrained network."""
        if self.global_step % UNTRAINED_EVERY == 0:
            self._evaluate_untrained(batch)
        output = self(batch)
        self._add_to_epoch(output, "train")
        return output.loss

    def on_train_epoch_end(self) -> None:
        """Log the means of the epoch."""
        self._log_epoch()

    def validation_step(self, batch: dict[str, torch.Tensor], batch_idx: int) -> None:
        """Compute the loss of held-out rows."""
        self._add_to_epoch(self(batch), "validation")

    def on_validation_epoch_end(self) -> None:
        """Log the means of the epoch."""
        self._log_epoch()


class OneCyclePlan(LossPlan):
    """Train with AdamW and one cycle of the learning rate, slower for one of the submodules.

    Parameters
    ----------
    module
        The module to train.
    lr, weight_decay
        Peak learning rate, and weight decay.
    slow_lr
        Peak learning rate of the slow parameters.
    slow_prefix
        Prefix of the names of the slow parameters.
    plan_kwargs
        Further options of :class:`scvi.train.TrainingPlan`.

    Raises
    ------
    ValueError
        If an option of another optimizer or schedule is given.
    """

    def __init__(
        self,
        module: BaseModuleClass,
        *,
        lr: float = 1e-2,
        slow_lr: float = 3e-3,
        slow_prefix: str = "autoencoder",
        weight_decay: float = 1e-2,
        **plan_kwargs: Any,
    ) -> None:
        check_at_least(0, lr=lr, slow_lr=slow_lr, weight_decay=weight_decay)  # one cycle would not
        if unused := [name for name in UNUSED_OPTIONS if name in plan_kwargs]:
            raise ValueError(
                f"`plan_kwargs` has {', '.join(unused)}, which this recipe does not use: it trains with AdamW and one "
                "cycle of the learning rate. Leave it out; `lr`, `weight_decay` and `eps` can be set."
            )
        super().__init__(module, lr=lr, weight_decay=weight_decay, **plan_kwargs)
        self.slow_lr = slow_lr
        self.slow_prefix = slow_prefix

    def configure_optimizers(self) -> dict[str, Any]:
        """Make the optimizer, and a schedule over all steps of the training."""
        named = list(self.module.named_parameters())
        fast = [parameter for name, parameter in named if not name.startswith(self.slow_prefix)]
        slow = [parameter for name, parameter in named if name.startswith(self.slow_prefix)]
        groups: list[dict[str, Any]] = [{"params": fast, "lr": self.lr}, {"params": slow, "lr": self.slow_lr}]
        groups = [group for group in groups if group["params"]]
        optimizer = torch.optim.AdamW(groups, weight_decay=self.weight_decay, betas=ADAM_BETAS, eps=self.eps)
        n_steps = max(int(self.trainer.estimated_stepping_batches), 1)
        peak_rates = [group["lr"] for group in groups]
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, peak_rates, total_steps=n_steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
