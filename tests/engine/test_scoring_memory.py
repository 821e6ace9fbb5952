"""How much memory scoring asks for."""

from bob.engine.scoring_memory import score_memory


def test_scoring_asks_for_three_copies_of_the_features_and_for_more_after_a_loss() -> None:
    """ImageNet: 1,331,167 x 1,024 x 4 bytes are 5.45 GB."""
    assert score_memory(1_331_167, 1024) == 3 * 5_452_460_032
    assert score_memory(1_331_167, 1024, losses=1) == 6 * 5_452_460_032
    assert score_memory(1000, 512) == 0
