"""Planning: from a request to passes over images and cells to score, as plain data."""

from bob.plan.card_report import CardReport
from bob.plan.keys import feature_key, result_key, text_key
from bob.plan.plan import (
    Cell,
    Forward,
    Pass,
    Plan,
    Skip,
    StatisticsOutput,
    TemporaryOutput,
    TextPass,
    Unscored,
    read_plan,
)
from bob.plan.planner import (
    finished_record,
    make_plan,
    make_workspace,
    specs_to_check,
    statistics_need,
)
from bob.plan.request import Machine, Places, Request, RunSettings
from bob.plan.workspace import Workspace

__all__ = [
    "CardReport",
    "Cell",
    "Forward",
    "Machine",
    "Pass",
    "Places",
    "Plan",
    "Request",
    "RunSettings",
    "Skip",
    "StatisticsOutput",
    "TemporaryOutput",
    "TextPass",
    "Unscored",
    "Workspace",
    "feature_key",
    "finished_record",
    "make_plan",
    "make_workspace",
    "read_plan",
    "result_key",
    "specs_to_check",
    "statistics_need",
    "text_key",
]
