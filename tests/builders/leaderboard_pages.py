"""Sweeps for the tests of leaderboard.html, and an object that reads an open page."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
from playwright.sync_api import Browser, Page, ViewportSize

from bob.leaderboards.per_example import PerExample
from bob.records.record import Record
from bob.specs import Pretraining
from tests.builders.leaderboard_records import dataset, facts, failed, record, score, task

VIEWS = (
    "overview",
    "table",
    "cost",
    "heatmap",
    "correlation",
    "curves",
    "shifts",
    "datasets",
)

SHIFTED_TOP1 = (0.35, 0.42, 0.44, 0.5, 0.55)
"""Scores of the backbones a to e of `varied_tasks` on shifted images."""

IN_DISTRIBUTION_TOP1 = (0.5, 0.55, 0.6, 0.65, 0.7)
"""Their scores in distribution."""

KNN_TOP1 = (0.6, 0.5, 0.7, 0.9, 0.8)
"""Their scores on the task knn, which orders them differently."""

HOSTILE = (
    "</script><script>window.broken = 1</script><img src=x onerror='window.broken = 1'> "
    "\"'` {{ 7 * 7 }} 🦊👩🏽‍🚀 שלום مرحبا " + "wide" * 75
)
"""Text that breaks a page which treats it as markup, a template, or short."""


class OpenPage:
    """An open page, with the URLs that it requested and the messages that it logged."""

    def __init__(self, page: Page, path: Path, link: str = "") -> None:
        self.page, self.path = page, path
        self.requests: list[str] = []
        self.messages: list[str] = []
        self._listeners: dict[Any, Callable[[Any], None]] = {
            "request": lambda request: self.requests.append(request.url),
            "console": lambda message: self.messages.append(message.text),
            "pageerror": lambda error: self.messages.append(str(error)),
        }
        for event, listener in self._listeners.items():
            page.on(event, listener)
        page.goto(path.as_uri() + link)

    def leave(self) -> None:
        """Forget the page's events, and open nothing in its place."""
        for event, listener in self._listeners.items():
            self.page.remove_listener(event, listener)
        self.page.goto("about:blank")
        self.page.mouse.move(0, 0)

    @property
    def names(self) -> list[str]:
        """The backbones in the table's rows."""
        names = self.page.locator("#board tbody tr:not([hidden]) .name")
        return [text.strip() for text in names.all_inner_texts()]

    @property
    def heads(self) -> list[str]:
        """The table's column headings."""
        buttons = self.page.locator("#board thead button")
        return [" ".join(text.split()) for text in buttons.all_inner_texts()]

    @property
    def status(self) -> str:
        return self.page.locator("#status").inner_text()

    def text(self, selector: str) -> str:
        """Return the text of the one element that matches."""
        return self.page.locator(selector).inner_text()

    def cell(self, name: str, head: str) -> str:
        """Return the text of a backbone's cell under a heading."""
        row = self.page.locator("#board tbody tr:not([hidden])").nth(self.names.index(name))
        column = self.heads.index(head)
        # The first column, the rank, has no heading.
        return " ".join(row.locator("th, td").nth(1 + column).inner_text().split())

    def sort(self, name: str) -> None:
        """Click the first column heading that contains the text."""
        self.page.locator("#board thead button", has_text=name).first.click()

    def open(self, view: str) -> None:
        """Click the tab of a view."""
        self.page.locator(f"#tab-{view}").click()

    def wait_until(self, condition: str) -> None:
        """Wait until a JavaScript expression is true.

        `wait_for_function` evaluates it by eval, which the page's policy forbids.
        """
        self.page.evaluate(
            "new Promise((done) => { const look = () => "
            f"({condition}) ? done() : requestAnimationFrame(look); look(); }})"
        )

    def tip(self, selector: str) -> str:
        """Hover over the first element that matches and return the tooltip's text."""
        self.page.locator(selector).first.hover()
        return self.text("#tip")


Scheme = Literal["light", "dark"]

VIEWPORT: ViewportSize = {"width": 1280, "height": 720}
"""Playwright's default."""


class Tabs:
    """Tabs of a browser that tests use in turn.

    A new one starts processes, which takes ten times the processor time of opening a page.
    """

    def __init__(self, browser: Browser) -> None:
        self.browser = browser
        self._free: list[Page] = []

    def open(
        self,
        path: Path,
        link: str = "",
        *,
        viewport: ViewportSize = VIEWPORT,
        color_scheme: Scheme = "light",
    ) -> OpenPage:
        """Open a page in a free tab, on a screen of this size."""
        tab = self._free.pop() if self._free else self.browser.new_context().new_page()
        tab.set_viewport_size(viewport)
        tab.emulate_media(media="null", color_scheme=color_scheme)
        return OpenPage(tab, path, link)

    def close(self, opened: OpenPage) -> None:
        """Free the tab of an open page."""
        opened.leave()
        self._free.append(opened.page)


def two_tasks() -> list[Record]:
    """Return three backbones and a baseline on two tasks × two datasets.

    `middle` failed on knn/textiles; `large` was pretrained on textiles.
    """
    backbones = (
        facts("small", "supervised", params=3_000_000),
        facts(
            "large",
            "ssl",
            params=90_000_000,
            pretraining=Pretraining(
                method="ssl", data="LVD-142M", images=142_000_000, seen=("textiles",)
            ),
        ),
        facts("middle", "clip", params=20_000_000),
        facts("pixels", "baseline", params=0),
    )
    linear_top1 = {"small": 0.80, "large": 0.90, "middle": 0.89, "pixels": 0.50}
    datasets = (dataset("elpv", licence="CC-BY-NC-SA-4.0"), dataset("textiles"))
    records = []
    for backbone in backbones:
        top1 = linear_top1[backbone.name]
        for on in datasets:
            shared: dict[str, Any] = {
                "family": backbone.family,
                "dataset": on,
                "backbone": backbone,
            }
            scores = (score("top1", top1), score("ece", 0.031))
            records.append(record(backbone.name, task=task("linear"), scores=scores, **shared))
            knn = task("knn", metrics=("top1",))
            if (backbone.name, on.name) == ("middle", "textiles"):
                reason = "out of memory at batch 1"
                records.append(failed(backbone.name, reason, task=knn, **shared))
            else:
                records.append(record(backbone.name, top1 - 0.1, task=knn, **shared))
    return records


def two_tasks_values(record: Record) -> np.ndarray:
    """Return results for `two_tasks` on 650 images: each is right on the first ones.

    `middle` trails `large` by five images, p = 2 / 2^5; `small` trails it by 65.
    """
    right = {"large": 585, "middle": 580, "small": 520, "pixels": 325}
    return (np.arange(650) < right[record.backbone_name]).astype(float)


def varied_tasks() -> list[Record]:
    """Return five backbones on three tasks of one dataset, with scores named as protocols do.

    fewshot has scores by head and shots, ood has a shift, and knn orders the backbones differently.
    """
    few_shot = task("fewshot", metrics=("label_efficiency", "few_shot_top1"))
    ood = task("ood", metrics=("shifted_top1", "drop", "top1"))
    knn = task("knn", metrics=("top1",))
    records = []
    for index, name in enumerate("abcde"):
        base = 0.3 + 0.05 * index
        by_shots = [
            score(
                f"few_shot_top1_{head}_{shots}shot",
                base + 0.1 * step,
                facets={"head": head, "shots": shots},
            )
            for head in ("ridge", "centroid")
            for step, shots in enumerate((1, 5, 25))
        ]
        few_shot_scores = (score("label_efficiency", base), *by_shots)
        reference, shifted = IN_DISTRIBUTION_TOP1[index], SHIFTED_TOP1[index]
        ood_scores = (
            score("shifted_top1", shifted),
            score("top1_test", reference, facets={"shift": "test"}),
            score("top1_poly", shifted, facets={"shift": "poly"}),
            score("drop_poly", reference - shifted, facets={"shift": "poly"}),
        )
        records += [
            record(name, task=few_shot, scores=few_shot_scores),
            record(name, task=ood, scores=ood_scores),
            record(name, KNN_TOP1[index], task=knn),
        ]
    return records


def paired_results() -> tuple[list[Record], PerExample]:
    """Return three backbones on one cell, with their results on each of 1,000 images.

    `best` and `copy` are right on the first 900, `below` on the first 880: its interval overlaps
    theirs, but the paired test is significant.
    """
    correct = {"best": 900, "copy": 900, "below": 880}
    records = [
        record(
            name, count / 1000, backbone=facts(name, params=10**6 * (5 if name == "best" else 2))
        )
        for name, count in correct.items()
    ]
    return records, lambda record: (np.arange(1000) < correct[record.backbone_name]).astype(float)


def hostile() -> list[Record]:
    """Return records whose texts are HOSTILE or names of JavaScript object properties."""
    hostile_task = task(HOSTILE)
    hostile_dataset = dataset(HOSTILE, fingerprint=HOSTILE, licence=HOSTILE, notes=(HOSTILE,))
    backbone = facts(
        HOSTILE,
        licence=HOSTILE,
        weights=HOSTILE,
        paper=HOSTILE,
        architecture=HOSTILE,
        pretraining=Pretraining(method=HOSTILE, data=HOSTILE),
    )
    scores = (
        score("top1", 0.8),
        *(
            score(
                f"top1_{HOSTILE}{shots}", 0.5 + shots / 10, facets={"shots": shots, "head": HOSTILE}
            )
            for shots in (1, 2)
        ),
        score("top1_shift", 0.4, facets={"shift": HOSTILE}),
    )
    shared: dict[str, Any] = {"dataset": hostile_dataset, "task": hostile_task}
    return [
        record(HOSTILE, backbone=backbone, details=({HOSTILE: HOSTILE},), scores=scores, **shared),
        *(record(name, 0.7, **shared) for name in ("__proto__", "constructor", "plain")),
        record("plain", 0.7),
        failed("b" + HOSTILE, HOSTILE),
    ]


def raced(again: int = 100) -> list[Record]:
    """Two backbones run in full on 1,000 images, and two dropped at 250 and 125.

    Those that run in full embed `again` images a second time.
    """
    return [
        record("good", 0.8, dataset=dataset("photos")),
        record("better", 0.9, dataset=dataset("photos")),
        _dropped("fair", 250, 0.6, 0.9, again),
        _dropped("poor", 125, 0.25, 0.75, again),
    ]


def _dropped(name: str, images: int, value: float, rival_value: float, again: int) -> Record:
    """Return the record of a backbone that was dropped; 100 images were scored until then."""
    details = {
        "images": images,
        "images_of_all": 1000,
        "images_again": again,
        "scored": 100,
        "value": value,
        "rival": "better",
        "rival_value": rival_value,
        "looks": [[100, value - 0.1, 0.1, 0.9], [images, value, value - 0.05, value + 0.05]],
        "rival_looks": [[100, 0.7, 0.5, 0.9], [images, rival_value, 0.7, 0.95]],
    }
    return failed(
        name,
        f"at {images} images",
        status="dropped",
        details=(details,),
        dataset=dataset("photos"),
    )
