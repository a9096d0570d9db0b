"""Batches on Ray: one desk in each actor, blocks of rows mapped side by side, on one machine or many.

`Classify` is for your own Ray Data pipelines; `run_on_ray` is `triagedesk batch --engine ray`. Nothing here imports Ray
before it is used; the extra is `triagedesk[ray]`.
"""

from __future__ import annotations

from triagedesk.batch.on_ray.classify import Classify
from triagedesk.batch.on_ray.engine import Spread, run_on_ray
from triagedesk.batch.on_ray.sending import sendable

__all__ = ["Classify", "Spread", "run_on_ray", "sendable"]
