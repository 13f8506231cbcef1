"""What the parts of `crossfit` learn together: to predict genes that were hidden from them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from scvi import REGISTRY_KEYS
from scvi.module.base import BaseModuleClass, LossOutput
from torch import Tensor

from stimpute.module._attention import MASK_KEY, AttentionAutoencoder
from stimpute.module._gene_graph import GeneGraphNetwork, whiten

AROUND_KEY, HIDDEN_KEY, TRUTH_KEY = "around", "hidden", "truth"


class HiddenGeneModule(BaseModuleClass):
    r"""Autoencoder and gene graph, trained on hidden genes.

    .. math:: L = \frac{1}{|H|} \sum_{g \in H} \left(1 - \mathrm{corr}(x_g, \hat x_g)
              + \lambda \lVert x_g - \hat x_g \rVert^2\right)

    Each member of the ensemble never learns from one fold of the genes: its predictions of those are out of fold.

    Parameters
    ----------
    autoencoder, graph
        The parts; either may be None.
    features, statistics, precision
        Of the panel: relations (n_panel, n_panel, n_features), gene statistics (n_panel, n_statistics), and
        :math:`P` (n_panel, n_panel).
    learns
        Whether a member learns from a gene, shape (n_members, n_panel).
    error_weight
        :math:`\lambda`.
    use_attention
        Whether the autoencoder takes part.
    leave_out
        Whether a target's own value is taken out of what it hears.
    """

    def __init__(
        self,
        autoencoder: AttentionAutoencoder,
        graph: GeneGraphNetwork | None,
        features: Tensor,
        statistics: Tensor,
        precision: Tensor,
        learns: Tensor,
        *,
        error_weight: float = 0.3,
        use_attention: bool = True,
        leave_out: bool = True,
    ) -> None:
        super().__init__()
        self.autoencoder, self.graph = autoencoder, graph
        self.error_weight, self.use_attention, self.leave_out = error_weight, use_attention, leave_out
        constants = {"features": features, "statistics": statistics, "precision": precision, "learns": learns}
        for name, value in constants.items():
            self.register_buffer(name, value, persistent=False)

    def _get_inference_input(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"x": tensors[REGISTRY_KEYS.X_KEY], "mask": tensors[MASK_KEY]}

    def _get_generative_input(self, tensors: dict[str, Tensor], inference_outputs: dict) -> dict[str, Tensor]:
        around = tensors.get(AROUND_KEY)
        channels = [tensors[REGISTRY_KEYS.X_KEY], *([] if around is None else [around])]
        own = {"mask": tensors[MASK_KEY], "hidden": tensors[HIDDEN_KEY]}
        return {**own, "z": inference_outputs["z"], "channels": torch.stack(channels)}

    def inference(self, x: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """Latent representation from the visible genes."""
        return self.autoencoder.inference(x, mask)

    def generative(self, z: Tensor, mask: Tensor, channels: Tensor, hidden: Tensor) -> dict[str, Tensor]:
        """Signal of the hidden genes, shape (n_members, n_hidden, n_cells); channels are (n_channels, cells, genes)."""
        signal = torch.zeros(())
        if self.use_attention:
            profiles = self.autoencoder.profiles
            attention = self.autoencoder.attention(z, self.autoencoder.embed_reference(profiles, mask))
            signal = (attention @ profiles[:, hidden]).transpose(1, 2)
        if self.graph is not None:
            weights = self.graph(self.features[hidden], self.statistics[hidden], self.statistics)
            weights = weights[:, : len(channels)]  # cells without a place have none around them
            own = hidden if self.leave_out else torch.full_like(hidden, -1)
            messages = whiten(weights, self.precision, own) @ channels.transpose(1, 2)
            signal = signal + messages.sum(1)
        return {"signal": signal}

    def loss(self, tensors: dict[str, Tensor], inference_outputs: dict, generative_outputs: dict) -> LossOutput:
        """Correlation and error over the cells of a batch, for the genes that each member learns from."""
        signal, truth = generative_outputs["signal"], tensors[TRUTH_KEY].T
        centred, true = signal - signal.mean(-1, keepdim=True), truth - truth.mean(-1, keepdim=True)
        correlation = F.cosine_similarity(centred, true[None], dim=-1, eps=1e-3)
        loss = 1 - correlation + self.error_weight * (signal - truth).square().mean(-1)
        learns = self.learns[:, tensors[HIDDEN_KEY]].float()
        share = learns / learns.sum(1, keepdim=True).clamp(min=1)
        held_out = (correlation * (1 - learns)).sum() / (1 - learns).sum().clamp(min=1)
        metrics: dict[str, Tensor] = {
            "correlation": (correlation * share).sum(1).mean().detach(),
            "held_out_correlation": held_out.detach(),
        }
        return LossOutput(loss=(loss * share).sum(), n_obs_minibatch=truth.shape[1], extra_metrics=metrics)
