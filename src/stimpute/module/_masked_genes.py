"""Define the training task of `crossfit`: predict genes that were masked at the input."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from scvi import REGISTRY_KEYS
from scvi.module.base import BaseModuleClass, LossOutput
from torch import Tensor

from stimpute.module._attention import MASK_KEY, AttentionAutoencoder
from stimpute.module._gene_graph import GeneGraphNetwork, pass_messages
from stimpute.module._precision import Precision

NICHE_KEY = "niche"
MASKED_KEY = "masked"
TRUTH_KEY = "truth"
FEATURES_KEY = "features"
MIN_NORM = 1e-3  # of a gene's profile within a batch: a nearly constant gene has no correlation


class MaskedGeneModule(BaseModuleClass):
    r"""Train the attention autoencoder and the gene graph together on masked genes.

    .. math:: L = \frac{1}{|H|} \sum_{g \in H} \left(1 - \mathrm{corr}(x_g, s_g)
              + \rho \, \overline{(x_g - s_g)^2}\right)

    :math:`x_g` are the standardized values of a masked gene in the cells of a batch, and :math:`s_g` its predicted
    z-scores. Each member of the ensemble never learns from the genes of one fold: its predictions of these are out of
    fold.

    Parameters
    ----------
    autoencoder, graph
        The networks; the graph may be None.
    profiles
        Metacell profiles of the shared genes, shape (n_metacells, n_shared).
    statistics, precision
        Of the shared genes: gene statistics (n_shared, n_statistics), and :math:`P`.
    learns
        Whether a member learns from a gene, shape (n_members, n_shared).
    error_weight
        :math:`\rho`.
    use_attention
        Whether the autoencoder contributes to the prediction.
    leave_out
        Whether the edge weights of a masked gene are those that hold if it had not been measured.
    dataset
        Dataset of each metacell, shape (n_metacells,); not needed for one dataset.
    """

    def __init__(
        self,
        autoencoder: AttentionAutoencoder,
        graph: GeneGraphNetwork | None,
        profiles: Tensor,
        statistics: Tensor,
        precision: Precision,
        learns: Tensor,
        *,
        error_weight: float = 0.3,
        use_attention: bool = True,
        leave_out: bool = True,
        dataset: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.autoencoder = autoencoder
        self.graph = graph
        self.error_weight = error_weight
        self.use_attention = use_attention
        self.leave_out = leave_out
        self.register_buffer("profiles", profiles, persistent=False)
        self.register_buffer("dataset", dataset, persistent=False)
        self.register_buffer("statistics", statistics, persistent=False)
        self.register_buffer("learns", learns, persistent=False)
        self.precision = precision

    def _get_inference_input(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"x": tensors[REGISTRY_KEYS.X_KEY], "mask": tensors[MASK_KEY]}

    def _get_generative_input(self, tensors: dict[str, Tensor], inference_outputs: dict) -> dict[str, Tensor]:
        inputs = [tensors[REGISTRY_KEYS.X_KEY]]
        if NICHE_KEY in tensors:
            inputs.append(tensors[NICHE_KEY])
        return {
            "z": inference_outputs["z"],
            "mask": tensors[MASK_KEY],
            "inputs": torch.stack(inputs),
            "masked": tensors[MASKED_KEY],
            "features": tensors.get(FEATURES_KEY),
        }

    def inference(self, x: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """Embed cells from the genes that are not masked."""
        return {"z": self.autoencoder.embed_cells(x, mask)}

    def generative(
        self, z: Tensor, mask: Tensor, inputs: Tensor, masked: Tensor, features: Tensor | None
    ) -> dict[str, Tensor]:
        """Predict the z-scores of masked genes, shape (n_members, n_masked, n_cells).

        Parameters
        ----------
        z
            Latent representation, shape (n_members, n_cells, n_latent).
        mask
            1 for input genes, shape (n_shared,).
        inputs
            Standardized expression of the cells and of their niches, shape (n_inputs, n_cells, n_shared).
        masked
            Positions of the genes to predict, shape (n_masked,).
        features
            Their relation features, shape (n_features, n_masked, n_shared); None without a graph.
        """
        z_score = torch.zeros(())
        if self.use_attention:
            keys = self.autoencoder.embed_reference(self.profiles, mask)
            attention = self.autoencoder.attention(z, keys, dataset=self.dataset)
            z_score = (attention @ self.profiles[:, masked]).transpose(1, 2)
        if self.graph is not None:
            weights = self.graph(features, self.statistics[masked], self.statistics)
            weights = weights[:, : len(inputs)]  # cells without positions have no niche
            z_score = z_score + pass_messages(weights, self.precision, inputs, masked, leave_out=self.leave_out)
        return {"z_score": z_score}

    def loss(self, tensors: dict[str, Tensor], inference_outputs: dict, generative_outputs: dict) -> LossOutput:
        """Compute correlation and error over the cells of a batch, for the genes that each member learns from."""
        predicted = generative_outputs["z_score"]
        truth = tensors[TRUTH_KEY].T
        predicted_centered = predicted - predicted.mean(-1, keepdim=True)
        truth_centered = truth - truth.mean(-1, keepdim=True)
        correlation = F.cosine_similarity(predicted_centered, truth_centered[None], dim=-1, eps=MIN_NORM)
        loss = 1 - correlation + self.error_weight * (predicted - truth).square().mean(-1)
        learns = self.learns[:, tensors[MASKED_KEY]].float()
        share = learns / learns.sum(1, keepdim=True).clamp(min=1)
        held_out = 1 - learns
        held_out_correlation = (correlation * held_out).sum() / held_out.sum().clamp(min=1)
        metrics = {
            "correlation": (correlation * share).sum(1).mean().detach(),
            "held_out_correlation": held_out_correlation.detach(),
        }
        return LossOutput(loss=(loss * share).sum(), n_obs_minibatch=truth.shape[1], extra_metrics=metrics)
