"""The weighted preference loss: −w · log σ(β[log π(y_w|x_w) − log π₀(y_w|x_w)] − β[log π(y_l|x_l) − log π₀(y_l|x_l)]).

Direct preference optimisation (Rafailov et al., arXiv 2305.18290) with a weight for each pair (MMedPO, arXiv 2412.06141), and with an
input for each side, because the sides of a cross-modality pair see different pictures (MMed-RAG, arXiv 2410.13085). It takes numbers
and knows nothing of models.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def preference_loss(
    chosen: Tensor, rejected: Tensor, reference_chosen: Tensor, reference_rejected: Tensor, weights: Tensor | None = None,
    beta: float = 0.1,
) -> Tensor:  # fmt: skip
    """The mean over pairs of w times the loss of each; every argument is (n,), log-probabilities summed over the answer's tokens.

    Without ``weights`` each pair counts 1: direct preference optimisation as it was published. The mean is over pairs, not over
    weights, so weights of a mean other than 1 change the size of the steps.
    """
    from torch.nn import functional as F  # noqa: N812 - the usual name

    losses = -F.logsigmoid(margins(chosen, rejected, reference_chosen, reference_rejected, beta))
    return (losses if weights is None else weights * losses).mean()


def margins(
    chosen: Tensor, rejected: Tensor, reference_chosen: Tensor, reference_rejected: Tensor, beta: float = 0.1
) -> Tensor:
    """(n,): the implicit reward of the chosen answer less that of the rejected one."""
    return beta * (chosen - reference_chosen) - beta * (rejected - reference_rejected)


def supervised_loss(chosen: Tensor, tokens: Tensor, weights: Tensor | None = None) -> Tensor:
    """The baseline: cross-entropy of the chosen answers alone, mean over their tokens; ``chosen``, ``tokens`` are (n,)."""
    losses = -chosen if weights is None else -weights * chosen
    return losses.sum() / tokens.sum().clamp_min(1)


def measured(
    chosen: Tensor, rejected: Tensor, reference_chosen: Tensor, reference_rejected: Tensor, tokens: Tensor, beta: float = 0.1
) -> dict[str, float]:  # fmt: skip
    """Rewards of both sides, their margin, the share of pairs with a positive one, and a KL divergence, over a batch.

    ``tokens`` is (2, n), chosen and rejected. ``kl`` is the mean of log π₀ − log π over the tokens of both answers: an estimate of
    KL(π₀ ‖ π) a token as far as the reference model wrote the answers, and it may be negative on a small batch.
    """
    rewards = beta * (chosen - reference_chosen), beta * (rejected - reference_rejected)
    moved = (reference_chosen - chosen).sum() + (reference_rejected - rejected).sum()
    margin = rewards[0] - rewards[1]
    found = {
        "reward_chosen": rewards[0].mean(), "reward_rejected": rewards[1].mean(), "margin": margin.mean(),
        "preferred": (margin > 0).float().mean(), "kl": moved / tokens.sum().clamp_min(1),
    }  # fmt: skip
    return {name: float(value.detach()) for name, value in found.items()}
