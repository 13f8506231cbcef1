"""How a module is trained: scvi-tools' training plan without the parts of a variational model."""

from __future__ import annotations

from typing import Any

import torch
from scvi.module.base import BaseModuleClass, LossOutput
from scvi.train import TrainingPlan


class LossPlan(TrainingPlan):
    """Minimise a module's loss and log it, with all optimiser options of scvi-tools' plan.

    Parameters
    ----------
    module
        What is trained. Only its parameters that require gradients are.
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
        self._noted: dict[str, tuple[torch.Tensor | float, int]] = {}

    def forward(self, batch: dict[str, torch.Tensor]) -> LossOutput:
        """Loss of one batch."""
        return self.module(batch, loss_kwargs=self.loss_kwargs)[2]

    def _note(self, output: LossOutput, name: str) -> None:
        """Add a batch to the epoch's means; Lightning's own bookkeeping per step costs as much as a small network."""
        values = {f"{name}_loss": output.loss.detach(), **{f"{k}_{name}": v for k, v in output.extra_metrics.items()}}
        for key, value in values.items():
            total, n = self._noted.get(key, (0.0, 0))
            self._noted[key] = (total + output.n_obs_minibatch * value, n + output.n_obs_minibatch)

    def _log_noted(self) -> None:
        for key, (total, n) in self._noted.items():
            self.log(key, total / n, prog_bar=key.endswith("_loss"))
        self._noted = {}

    def training_step(self, batch: dict[str, torch.Tensor], batch_idx: int) -> torch.Tensor:
        """One step."""
        output = self(batch)
        self._note(output, "train")
        return output.loss

    def on_train_epoch_end(self) -> None:
        """Log the epoch's means."""
        self._log_noted()

    def validation_step(self, batch: dict[str, torch.Tensor], batch_idx: int) -> None:
        """Loss of rows that nothing is learnt from."""
        self._note(self(batch), "validation")

    def on_validation_epoch_end(self) -> None:
        """Log the epoch's means."""
        self._log_noted()


class OneCyclePlan(LossPlan):
    """AdamW with one cycle of the learning rate, and another rate for some of the parameters.

    Parameters
    ----------
    module
        What is trained.
    lr, weight_decay
        Peak learning rate, and weight decay.
    slow_lr
        Peak learning rate of parameters whose names start with `slow`.
    slow
        Prefix of names.
    """

    def __init__(
        self,
        module: BaseModuleClass,
        *,
        lr: float = 1e-2,
        slow_lr: float = 3e-3,
        slow: str = "autoencoder",
        weight_decay: float = 1e-2,
        **plan_kwargs: Any,
    ) -> None:
        super().__init__(module, lr=lr, weight_decay=weight_decay, **plan_kwargs)
        self.slow_lr, self.slow = slow_lr, slow

    def configure_optimizers(self) -> dict[str, Any]:
        """AdamW and a schedule over all steps of the training."""
        named = list(self.module.named_parameters())
        rates = (self.lr, self.slow_lr)
        groups = [
            {"params": [p for name, p in named if name.startswith(self.slow) == slow], "lr": rate}
            for slow, rate in zip((False, True), rates, strict=True)
        ]
        groups = [group for group in groups if group["params"]]
        optimizer = torch.optim.AdamW(groups, weight_decay=self.weight_decay, betas=(0.9, 0.98), eps=self.eps)
        steps = max(int(self.trainer.estimated_stepping_batches), 1)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, [group["lr"] for group in groups], total_steps=steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
