"""The eval harness: what anything that suggests labels is worth on labelled tickets, with error bars."""

from triagedesk.evals.baseline import assert_no_regression
from triagedesk.evals.comparison import Comparison, compare
from triagedesk.evals.config import EvalConfig, load_config
from triagedesk.evals.figures import Scores
from triagedesk.evals.gold import Gold, GoldError
from triagedesk.evals.run import Run, evaluate
from triagedesk.evals.scores import score
from triagedesk.evals.sets import read_gold
from triagedesk.evals.sheet import Sheet, make_sheet
from triagedesk.evals.systems import DeskSystem

__all__ = ["Comparison", "DeskSystem", "EvalConfig", "Gold", "GoldError", "Run", "Scores", "Sheet",
           "assert_no_regression", "compare", "evaluate", "load_config", "make_sheet", "read_gold",
           "score"]  # fmt: skip
