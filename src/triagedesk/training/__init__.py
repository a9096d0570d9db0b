"""Training: from labelled tickets to one small file that classifies without a model.

`train` tells the journey. Nothing here is imported when a desk answers; scikit-learn and scipy are the extra `train`.
"""

from __future__ import annotations

from triagedesk.training.fit import Recipe, train

__all__ = ["Recipe", "train"]
