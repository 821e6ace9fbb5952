"""Which examples of dense tasks a page shows, by hand."""

from bob.pictures.examples import ScoredExamples, chosen_sections
from bob.pictures.page import Picture, Strip


def strip(example: int) -> Strip:
    return Strip(str(example), [Picture("", "", ()), Picture("", "", ())])


def shown(*of_records: ScoredExamples) -> dict[str, list[str]]:
    sections = chosen_sections(of_records, "images", "delta1", strip)
    return {section.title: [each.heading for each in section.strips] for section in sections}


A = ScoredExamples("A", {0: 0.9, 1: 0.2, 2: 0.5, 3: float("nan"), 4: 0.4}, (2, 3))


def test_one_record_shows_its_worst_and_a_sample() -> None:
    assert shown(A) == {"Worst": ["1", "4", "2", "0"], "Sample": ["2", "3"]}


def test_two_records_show_where_one_is_better_among_common_examples() -> None:
    """Gaps: A is better by 0.1 at 0 and by 0.3 at 4, B by 0.4 at 1; 2 is not in B."""
    b = ScoredExamples("B", {0: 0.8, 1: 0.6, 3: 0.5, 4: 0.1, 9: 0.0}, (3, 9))
    assert shown(A, b) == {"A is better": ["4", "0"], "B is better": ["1"], "Sample": ["3"]}


def test_a_section_without_examples_is_left_out() -> None:
    assert shown(ScoredExamples("", {}, ())) == {}


def test_examples_of_one_picture_stand_side_by_side() -> None:
    def single(example: int) -> Strip:
        return Strip("", [Picture("", str(example), ())])

    (worst,) = chosen_sections([ScoredExamples("", {0: 0.5, 1: 0.1}, ())], "pairs", "share", single)
    assert [[each.name for each in of.pictures] for of in worst.strips] == [["1", "0"]]
