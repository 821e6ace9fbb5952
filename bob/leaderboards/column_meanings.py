"""What the columns and metrics of published tables mean, as far as their names show it."""

import re
from functools import lru_cache
from itertools import chain
from typing import Literal

from bob.metrics import METRICS

Meaning = Literal["score", "error", "loss", "average", "difference", "rank", "spread", "cost"]
"""score: higher is better. error, loss: lower is better; a loss has no upper bound. average,
difference, rank: computed from other columns. spread: of another column. cost: a fact about the
backbone."""

SCORED: tuple[Meaning, ...] = ("score", "error", "loss")
"""Meanings of columns with results."""
IDENTITY = re.compile(
    r"(?:(?:test|eval|infer|train)_)?(?:(?:img|image|input|crop)_(?:size|resolution|px)|input_px"
    r"|resolution|crop_pct|interp(?:olation)?)"
)
"""Columns that tell rows of one backbone apart."""

_CUTOFF = r"(?:[_@ ]?(?:at[_ ]?)?\d+)"
_METRIC = re.compile(
    rf"top{_CUTOFF}|acc(?:uracy)?{_CUTOFF}?|(?:mean|avg|average)_per_class(?:_(?:recall|acc\w*))?"
    rf"|balanced_acc(?:uracy)?|m(?:ean_)?(?:ap|average_precision){_CUTOFF}?|average_precision"
    rf"|mrr{_CUTOFF}?|mean_reciprocal_rank|(?:(?:image|text)_)?(?:retrieval_)?recall{_CUTOFF}?"
    rf"|[rp]@\d+|precision{_CUTOFF}?|hits?{_CUTOFF}|n?dcg{_CUTOFF}?|(?:(?:macro|micro)_)?f1"
    rf"|(?:roc_)?auc|au(?:roc|prc?)(?:_(?:in|out))?|m(?:ean_)?iou|kappa|mcc"
)
"""Names of metrics where higher is better, in lower case with underscores."""
_WHOLE: dict[Meaning, re.Pattern[str]] = {
    "rank": re.compile(r"ids?|no|nr|idx|index|position|place"),
    "spread": re.compile(r"se|ci\d*|±|n|seeds?"),
    "average": re.compile(r"total|sum|median|mean(?:_\w+)?"),
    "cost": re.compile(
        r"ms|seconds?|hours|[mg]b|width|depth|layers|heads|dim|size|time|batch|year|crop|res|lr"
        r"|num_\w+|n_\w+"
    ),
}
"""Names that mean something only on their own: `ms` and `no` are also codes of languages."""
_WORDS_OF: dict[Meaning, str] = {
    "difference": r"diff\w*|delta|δ|gap|drop|gains?|change|improvement",
    "spread": r"std|stdev|std_?err|sem|variance|ci_\w+|ci95",
    "rank": r"rank|ranking",
    "average": r"average|avg|overall|geomean|mean$",
    "cost": r"[mgk]?params?|parameters?|\w*flops?|[gmt]?macs|[gm]?macts|\w*samples?"
    r"|\w*latency|throughput|fps|im(?:g|ages?)?/s(?:ec)?|gpu_hours|\w+_per_s(?:ec(?:ond)?)?|memory|vram|\w*mib"
    r"|(?:img|image|input|model|batch|crop|patch|file)_size|(?:image|text)_width"
    r"|(?:embed|feature)_dim|resolution|input_px|crop_pct|interp(?:olation)?"
    r"|(?:step|train\w*|infer\w*|run)_time|epochs?",
    "loss": r"\w*loss|nll|perplexity|ppl|cross_entropy|mse|rmse|fid",
    "error": r"err(?:@?\d+)?|errors?|mce|fpr\d*|fnr|eer|ece|brier|misclass\w*",
}
_WORDS: dict[Meaning, re.Pattern[str]] = {
    meaning: re.compile(rf"(?:^|_)(?:{words})(?:_|$)") for meaning, words in _WORDS_OF.items()
}
"""Words that mean the same within any name; the first that occurs decides."""
_ERROR_WORD = re.compile(r"(?:^|_)(?:err|errors?)(?=_|$)")


def normalised(name: str) -> str:
    """Return a name in lower case, with one underscore for whatever is no letter or digit.

    Points within numbers and the signs of `R@1`, `img/s` and `±` stay.
    """
    return re.sub(r"(?:[^\w@±/.+]|(?<!\d)\.|\.(?!\d))+", "_", name.strip().lower()).strip("_")


@lru_cache(maxsize=4096)
def meaning_of(name: str) -> Meaning:
    """Return what a column or metric of this name means; "score" if the name does not show it.

    A registered metric means what its registration says; an arrow ↓ says that lower is better.
    """
    text = normalised(name)
    if name.strip() == "#":
        return "rank"
    if text in METRICS:
        metric = METRICS[text]
        return "score" if metric.higher_is_better else "error" if metric.highest == 1 else "loss"
    if _METRIC.fullmatch(text):
        return "score"
    whole = (meaning for meaning, pattern in _WHOLE.items() if pattern.fullmatch(text))
    words = (meaning for meaning, pattern in _WORDS.items() if pattern.search(text))
    meaning: Meaning = next(chain(whole, words), "score")
    return "error" if meaning == "score" and "↓" in name else meaning


def names_metric(name: str) -> bool:
    """Return whether a column is named after a metric (`acc1`, `top1_err`), not after a dataset."""
    text = normalised(name)
    bare = without_error(name)
    return text in METRICS or any(_METRIC.fullmatch(stem) for stem in (text, bare) if stem)


def without_error(name: str) -> str:
    """Return a normalised name without the word for errors: `top1` for `top1_err`, else ""."""
    text, count = _ERROR_WORD.subn("", normalised(name))
    return text.strip("_") if count else ""


def tells_apart(name: str) -> bool:
    """Return whether a column may tell rows of one backbone apart, such as `img_size`."""
    return IDENTITY.fullmatch(normalised(name)) is not None
