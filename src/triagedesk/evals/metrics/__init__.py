"""Metrics as pure functions of arrays, usable without the rest of the harness."""

from triagedesk.evals.metrics.agreement import (
    cohen_kappa,
    flip_rate,
    krippendorff_alpha,
    majority,
    pairwise_agreement,
)
from triagedesk.evals.metrics.counts import LOWER_IS_BETTER, confusion, figure, figures
from triagedesk.evals.metrics.draws import DRAWS, Sample, numbered_groups, percentile_interval
from triagedesk.evals.metrics.intervals import Interval, detectable, holm, mcnemar, most_missed, wilson
from triagedesk.evals.metrics.scale import NO_ANSWER, Scale, as_codes, scale_of

__all__ = [
    "DRAWS", "LOWER_IS_BETTER", "NO_ANSWER", "Interval", "Sample", "Scale", "as_codes", "cohen_kappa", "confusion",
    "detectable", "figure", "figures", "flip_rate", "holm", "krippendorff_alpha", "majority", "mcnemar", "most_missed",
    "numbered_groups", "pairwise_agreement", "percentile_interval", "scale_of", "wilson",
]  # fmt: skip
