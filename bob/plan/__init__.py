"""The planner: from what was asked to the cells that are still to do, and the keys of what they need."""

from bob.plan.keys import feature_key, result_key, seeds_of, unpooled, whole_of
from bob.plan.plan import Cell, Plan, Skip
from bob.plan.planner import card_of, make_plan
from bob.plan.request import Request

__all__ = [
    "Cell",
    "Plan",
    "Request",
    "Skip",
    "card_of",
    "feature_key",
    "make_plan",
    "result_key",
    "seeds_of",
    "unpooled",
    "whole_of",
]
