"""Steps of a race: which images are embedded, fitted to and scored."""

from bob.engine.racing.schedule import gallery_schedule, schedule


def test_train_images_are_scored_before_probes_are_fitted_to_them() -> None:
    """Of 1,600 train and 320 test images, shares of 2^(-5), 2^(-11/3), 2^(-3), 2^(-7/3), ...

    They are the first by which at least 64 more images are embedded: 70, 151, 240, 380.
    """
    steps = schedule({"train": 1600, "test": 320}, classes=10, scores_train=True)
    assert [(step.train, step.test) for step in steps[:3]] == [(126, 25), (200, 40), (317, 63)]
    assert [step.fitted["train"] for step in steps[:3]] == [50, 126, 200]
    assert [step.scored["train"] for step in steps[:2]] == [range(50, 126), range(126, 200)]
    assert [step.scored["test"] for step in steps[:2]] == [range(25), range(25, 40)]
    assert (len(steps), steps[-1].train) == (9, 1270)


def test_test_images_alone_are_scored_early() -> None:
    """Their share is four times that of train, and all are scored with a quarter of train.

    The first share with 64 images in all is 2^(-16/3), 40 and 32 images. 64 more than these are
    2^(-13/3), then 2^(-11/3).
    """
    steps = schedule({"train": 1600, "test": 320}, classes=10, scores_train=False)
    assert [step.test for step in steps[:3]] == [32, 63, 101]
    assert [step.fitted["train"] for step in steps[:3]] == [40, 79, 126]
    assert steps[-1].test == 320 and steps[-1].train == 400
    assert all(set(step.scored) == {"test"} for step in steps)


def test_every_image_is_scored_at_most_once() -> None:
    for scores_train in (True, False):
        steps = schedule({"train": 90, "val": 9, "test": 31}, 3, scores_train)
        for split in steps[0].scored:
            images = [i for step in steps for i in step.scored[split]]
            assert images == list(range(images[0], images[-1] + 1))


def test_val_images_grow_with_train_and_are_not_scored() -> None:
    """Shares of 2^(-13/3), 2^(-3) and 2^(-7/3)."""
    steps = schedule({"train": 800, "val": 80, "test": 200}, 10, scores_train=True)
    assert [step.fitted["val"] for step in steps[:3]] == [4, 10, 16]
    assert steps[0].train == 100 + 10
    assert all("val" not in step.scored for step in steps)


def test_probes_are_fitted_to_two_train_images_of_each_class_or_there_is_no_race() -> None:
    """159 of 800 is the first share above 2 × 75; with 300 classes one holds 600, and two must."""
    first = schedule({"train": 800, "test": 40}, 75, scores_train=True)[0]
    assert first.fitted["train"] == 159
    assert schedule({"train": 800, "test": 40}, 300, scores_train=True) == ()


def test_few_test_images_are_one_step() -> None:
    """A sixteenth of the images is embedded first: 40 and 12."""
    (step,) = schedule({"train": 800, "test": 12}, 2, scores_train=False)
    assert (step.train, step.test) == (40, 12)


def test_queries_join_the_gallery_of_the_next_step() -> None:
    """Of 400 test images the share 2^(-5.25), 10.5, is the first gallery, and a fortieth, 10, are
    added at least: 2^(-4.25) is 21, and 2^(-3.625) is 32.4 where 2^(-3.75) is 29.7.
    """
    first, second, *_ = gallery_schedule(400)
    assert (first.fitted, first.scored) == ({"test": 11}, {"test": range(11, 21)})
    assert (second.fitted, second.scored) == ({"test": 21}, {"test": range(21, 32)})
    assert first.text == "21 images"
    assert gallery_schedule(11) == ()
