"""Tables: what is shown of rows, and which columns give way where there is no room."""

import pytest
from rich.cells import cell_len

from onnxtop.render.cells import ASCII, UNICODE
from onnxtop.render.table import Column, Layout, Row, table
from onnxtop.render.text import TIMES

COLUMNS = {
    "name": Column("layer", "left"),
    "size": Column(f"in {TIMES} out"),
    "wide": Column("wide", from_width=60),
    "bar": Column("", "left", least=6, style="cyan"),
    "never": Column("never"),
}

ROWS = [
    Row({"name": "net/a/query/MatMul", "size": "4 x 5", "wide": "w", "bar": "##"}),
    Row({"name": "net/b/key/MatMul", "size": "10 x 5", "bar": "#"}, "bold"),
]


PLAIN = Layout()


def drawn(parts=(ROWS,), layout=PLAIN, signs=ASCII, width=80, columns=COLUMNS):
    return [line.plain.rstrip() for line in table(columns, parts, layout, signs, width)]


def test_columns_are_as_wide_as_their_cells_and_empty_ones_are_left_out():
    assert drawn() == [
        "layer               in x out  wide",
        "------------------  --------  ----  ------",
        "net/a/query/MatMul     4 x 5     w  ##",
        "net/b/key/MatMul      10 x 5        #",
    ]
    assert drawn(signs=UNICODE)[0] == f"layer               in {TIMES} out  wide"
    assert "wide" not in drawn(width=59)[0]


def test_parts_stand_under_rules_of_their_own_if_at_all():
    total = [Row({"name": "total", "size": "9"}, "bold", named=False)]
    ruled = drawn((ROWS, total, []))
    assert [line.startswith("-") for line in ruled] == [False, True, False, False, True, False]
    assert len(drawn((ROWS, total), Layout(ruled=False))) == 4


def test_columns_shrink_in_their_order_and_names_lose_what_they_share():
    layout = Layout(shrink=(("name", 13), ("size", 4), ("name", 8)), names="name")
    assert drawn(layout=layout, width=34)[2:] == [
        "a/query     4 x 5  ##",
        "b/key      10 x 5  #",
        "left out of the names: net/ at their start, /MatMul at their end",
    ]
    squeezed = drawn(layout=layout, width=22)
    assert max(map(cell_len, squeezed[:-1])) <= 22
    assert squeezed[0] == "layer    in x"


def test_a_row_that_is_not_named_keeps_its_words():
    gap = Row({"name": "12 more"}, named=False)
    layout = Layout(shrink=(("name", 12),), names="name")
    assert drawn(([*ROWS, gap],), layout, width=30)[-2] == "12 more"


@pytest.mark.parametrize(("width", "titles"), [(80, "in x out  wide"), (35, "in x out"), (27, "")])
def test_lesser_columns_go_first(width, titles):
    columns = {**COLUMNS, "wide": Column("wide")}
    layout = Layout(lesser=("wide", "size"), enough={"name": 12}, shrink=(("name", 8),))
    assert drawn(layout=layout, width=width, columns=columns)[0].split("layer")[1].strip() == titles


def test_styles_are_the_row_s_and_the_column_s_unless_a_cell_has_its_own():
    own = Row({"name": "c", "bar": "#"}, styles={"bar": "red"})
    lines = list(table(COLUMNS, [[ROWS[1], own]], Layout(ruled=False), ASCII, 80))
    assert [line.style for line in lines] == ["dim", "bold", ""]
    assert [span.style for line in lines for span in line.spans] == ["cyan", "red"]
