"""Steps of a race: which images are embedded, fitted to and scored."""

from bob.engine.racing.schedule import gallery_schedule, schedule


def test_train_images_are_scored_before_probes_are_fitted_to_them() -> None:
    """Shares of 1/16, 1/16 √2, 1/8, ... of 1,600 train and 320 test images."""
    steps = schedule({"train": 1600, "test": 320}, classes=10, scores_train=True)
    assert [(step.train, step.test) for step in steps[:3]] == [(141, 28), (200, 40), (283, 57)]
    assert [step.fitted["train"] for step in steps[:3]] == [100, 141, 200]
    assert [step.scored["train"] for step in steps[:2]] == [range(100, 141), range(141, 200)]
    assert [step.scored["test"] for step in steps[:2]] == [range(28), range(28, 40)]
    assert (len(steps), steps[-1].train) == (7, 1131)


def test_test_images_alone_are_scored_early() -> None:
    """Their share is four times that of train: a quarter, 0.35, a half, 0.71, all."""
    steps = schedule({"train": 1600, "test": 320}, classes=10, scores_train=False)
    assert [step.test for step in steps] == [80, 113, 160, 226, 320]
    assert [step.fitted["train"] for step in steps] == [100, 141, 200, 283, 400]
    assert all(set(step.scored) == {"test"} for step in steps)


def test_every_image_is_scored_at_most_once() -> None:
    for scores_train in (True, False):
        steps = schedule({"train": 90, "val": 9, "test": 31}, 3, scores_train)
        for split in steps[0].scored:
            images = [i for step in steps for i in step.scored[split]]
            assert images == list(range(images[0], images[-1] + 1))


def test_val_images_grow_with_train_and_are_not_scored() -> None:
    steps = schedule({"train": 800, "val": 80, "test": 200}, 10, scores_train=True)
    assert [step.fitted["val"] for step in steps[:3]] == [5, 7, 10]
    assert steps[0].train == 71 + 7
    assert all("val" not in step.scored for step in steps)


def test_probes_are_fitted_to_two_train_images_of_each_class_or_there_is_no_race() -> None:
    """150 of 800 is the first share above 2 × 75; with 300 classes no share holds 600."""
    first = schedule({"train": 800, "test": 40}, 75, scores_train=True)[0]
    assert first.fitted["train"] == 200
    assert schedule({"train": 800, "test": 40}, 300, scores_train=True) == ()


def test_few_test_images_are_one_step() -> None:
    (step,) = schedule({"train": 800, "test": 12}, 2, scores_train=False)
    assert (step.train, step.test) == (50, 12)


def test_queries_join_the_gallery_of_the_next_step() -> None:
    """Of 400 test images at least 20 are the first gallery: a sixteenth are 25."""
    first, second, *_ = gallery_schedule(400)
    assert (first.fitted, first.scored) == ({"test": 25}, {"test": range(25, 35)})
    assert (second.fitted, second.scored) == ({"test": 35}, {"test": range(35, 50)})
    assert first.text == "35 images"
    assert gallery_schedule(28) == ()
