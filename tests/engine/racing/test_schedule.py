"""Steps of a race: numbers of images, and rungs."""

from bob.engine.racing.schedule import rungs, schedule


def counts(steps: object) -> list[tuple[int, int]]:
    return [(step.train, step.test) for step in steps]  # type: ignore[attr-defined]


def test_test_images_grow_at_the_first_rung_and_are_complete_at_the_next() -> None:
    """An eighth, a quarter and a half of 800 train images; a quarter, a half, all of 200 others."""
    steps = schedule({"train": 800, "test": 200}, classes=10)
    assert counts(steps) == [(100, 50), (100, 100), (100, 200), (200, 200), (400, 200)]
    assert rungs(steps) == 3


def test_val_images_grow_with_train() -> None:
    steps = schedule({"train": 800, "val": 80, "test": 200}, classes=10)
    assert [dict(step.counts)["val"] for step in steps] == [10, 10, 10, 20, 40]
    assert steps[0].train == 110


def test_every_class_has_two_train_images_at_the_first_rung() -> None:
    assert counts(schedule({"train": 800, "test": 40}, classes=75))[0] == (200, 20)
    assert counts(schedule({"train": 800, "test": 40}, classes=150))[0] == (400, 20)
    assert schedule({"train": 800, "test": 40}, classes=300) == ()


def test_few_test_images_are_one_step() -> None:
    assert counts(schedule({"train": 800, "test": 12}, classes=2)) == [
        (100, 12),
        (200, 12),
        (400, 12),
    ]
