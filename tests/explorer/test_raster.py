import numpy as np
import pytest

from stimpute.explorer._colors import Blend, Gradient, Palette, category_colors
from stimpute.explorer._raster import draw_cells

UNIT = ((0.0, 1.0), (0.0, 1.0))
GREY = Gradient("gray", 0, 1)


def draw(coords, values, colors=GREY, spacing=0.0, size=(10, 20), ranges=UNIT):
    values = np.asarray(values, float).reshape(len(coords), -1)
    return draw_cells(np.asarray(coords, float), values, colors, ranges=ranges, size=size, spacing=spacing)


def test_a_cell_is_where_it_lies():
    image = draw([[0.05, 0.99], [0.95, 0.01]], [0.5, 0])
    assert image.shape == (20, 10, 4)
    assert tuple(image[19, 0]) == (128, 128, 128, 255)
    assert tuple(image[0, 9]) == (0, 0, 0, 255)
    assert (image.reshape(-1, 4) == 255).all(axis=1).sum() == 198  # the background


def test_cells_of_one_pixel_are_averaged():
    image = draw([[0.5, 0.5], [0.501, 0.501]], [0, 0.4])
    assert image[10, 5, 0] == 51


def test_high_values_are_on_top():
    coords = [[0.45, 0.5], [0.55, 0.5]]
    for values in ([0.2, 0.8], [0.8, 0.2]):
        image = draw(coords, values, spacing=0.4, size=(40, 40))
        assert (image[..., 0] == 204).sum() > (image[..., 0] == 51).sum()


def test_discs_grow_with_the_zoom_and_stay_inside():
    near = draw([[0.01, 0.01]], [0], spacing=0.1, size=(50, 50), ranges=((0, 0.2), (0, 0.2)))
    far = draw([[0.01, 0.01]], [0], spacing=0.1, size=(50, 50))
    assert (near[..., 0] == 0).sum() > (far[..., 0] == 0).sum() > 1


def test_cells_outside_and_missing_values_are_not_drawn():
    image = draw([[2, 2], [0.5, 0.5]], [0, np.nan])
    assert (image == 255).all()


def test_two_genes_are_mixed_on_a_dark_background():
    blend = Blend(("a", "b"), (1.0, 2.0))
    neither, first, second, both = blend.rgb(np.array([[0, 0], [1, 0], [0, 2], [1, 2]]))
    assert np.ptp(neither) == 0
    assert first[0] > first[1]
    assert second[1] > second[0]
    assert both.min() > neither.max()
    assert draw([[0.5, 0.5]], [[1, 1]], blend)[0, 0, 0] < 50


def test_categories_have_their_colors_and_missing_ones_are_gray():
    palette = Palette(["a", "b"], ["#ff0000", "#0000ff"])
    colors = palette.rgb(np.array([[0.0], [1.0], [-1.0]]))
    np.testing.assert_allclose(colors[:2], [[1, 0, 0], [0, 0, 1]])
    assert np.ptp(colors[2]) < 0.05


@pytest.mark.parametrize("n", [3, 25, 150])
def test_there_is_a_color_for_each_category(n):
    assert len(category_colors(n)) == n
    assert category_colors(n, ["red"] * n) == ["red"] * n
    assert category_colors(n, ["red"]) != ["red"]
