from luthier.cli.curve import curve


def test_a_curve_falls_from_its_highest_value_to_its_lowest() -> None:
    drawn = curve([4, 3, 2, 1], width=4, height=2)
    assert drawn == ["   4.0000 │█▃  ", "   2.5000 │██▆▁"]


def test_many_values_are_drawn_as_means_of_as_many_columns_as_there_is_room_for() -> None:
    drawn = curve([float(i) for i in range(1_000)], width=10, height=3)
    assert {len(row.partition("│")[2]) for row in drawn} == {10}
    assert drawn[0].endswith("█")


def test_equal_values_are_a_line_and_none_are_nothing() -> None:
    assert [row.partition("│")[2] for row in curve([2.0, 2.0], height=2)] == ["  ", "▁▁"]
    assert curve([]) == []
