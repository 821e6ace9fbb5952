"""Steps of a race: which images are embedded, fitted to and scored."""

from bob.engine.racing.schedule import gallery_schedule, schedule


def test_train_images_are_scored_before_probes_are_fitted_to_them() -> None:
    """Of 1,600 train and 320 test images a step embeds 48 at least, a fortieth, up to a quarter of
    them; then a tenth more each, up to 1,600 · 0.275 · 1.1^12 = 1,381. At least 20 are test images.
    """
    steps = schedule({"train": 1600, "test": 320}, classes=10, scores_train=True)
    assert [(step.train, step.test) for step in steps[:3]] == [(80, 20), (120, 24), (160, 32)]
    assert [step.fitted["train"] for step in steps[:3]] == [40, 80, 120]
    assert [step.scored["train"] for step in steps[:2]] == [range(40, 80), range(80, 120)]
    assert [step.scored["test"] for step in steps[:2]] == [range(20), range(20, 24)]
    assert (len(steps), steps[9].train, steps[-1].train) == (22, 440, 1381)


def test_test_images_alone_are_scored_early() -> None:
    """Their share is four times that of train, and all are scored with a quarter of train."""
    steps = schedule({"train": 1600, "test": 320}, classes=10, scores_train=False)
    assert [step.test for step in steps[:3]] == [32, 64, 96]
    assert [step.fitted["train"] for step in steps[:3]] == [40, 80, 120]
    assert steps[-1].test == 320 and steps[-1].train == 400
    assert all(set(step.scored) == {"test"} for step in steps)


def test_every_image_is_scored_at_most_once() -> None:
    for scores_train in (True, False):
        steps = schedule({"train": 90, "val": 9, "test": 31}, 3, scores_train)
        for split in steps[0].scored:
            images = [i for step in steps for i in step.scored[split]]
            assert images == list(range(images[0], images[-1] + 1))


def test_val_images_grow_with_train_and_are_not_scored() -> None:
    """A step embeds a twenty-fourth of 1,080 images, which is fewer than 48."""
    steps = schedule({"train": 800, "val": 80, "test": 200}, 10, scores_train=True)
    assert [step.fitted["val"] for step in steps[:3]] == [3, 7, 10]
    assert steps[0].train == 67 + 7
    assert all("val" not in step.scored for step in steps)


def test_probes_are_fitted_to_two_train_images_of_each_class_or_there_is_no_race() -> None:
    """150 of 800 are two of each of 75 classes; of 400 classes, all images are."""
    first = schedule({"train": 800, "test": 40}, 75, scores_train=True)[0]
    assert first.fitted["train"] == 150
    assert schedule({"train": 800, "test": 40}, 400, scores_train=True) == ()


def test_few_test_images_are_one_step() -> None:
    """A twenty-fourth of the train images is embedded first, with four times the share of test."""
    (step,) = schedule({"train": 800, "test": 12}, 2, scores_train=False)
    assert (step.train, step.test) == (33, 12)


def test_queries_join_the_gallery_of_the_next_step() -> None:
    """Of 400 test images, 10 are embedded at least, up to 200; then a twentieth more."""
    steps = gallery_schedule(400)
    assert (steps[0].fitted, steps[0].scored) == ({"test": 10}, {"test": range(10, 20)})
    assert (steps[1].fitted, steps[1].scored) == ({"test": 20}, {"test": range(20, 30)})
    assert [step.test for step in steps[17:20]] == [190, 200, 210]
    assert steps[0].text == "20 images"
    assert gallery_schedule(11) == ()
