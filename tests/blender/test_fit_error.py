# SPDX-License-Identifier: GPL-3.0-or-later
"""The fit's error on the mesh: numbers that a script reads, colours that an artist sees."""

from types import SimpleNamespace

import bpy
import numpy as np
import pytest

from imface_blender import fit_error
from imface_blender.errors import UserError
from imface_blender.mesh_io import FaceMesh


@pytest.fixture
def fitted(make_mesh):
    """Return the face that the fake worker fits, with errors of 0, 0.5, 2 and 9 mm and one
    vertex that the scan does not show."""
    make_mesh()
    bpy.ops.imface.fit_scan()
    return bpy.context.object


def test_every_vertex_has_its_error(fitted):
    values = np.empty(5, np.float32)
    fitted.data.attributes["fit_error_mm"].data.foreach_get("value", values)
    np.testing.assert_array_equal(values, np.float32([0, 0.5, 2, 9, -1]))


def test_the_colours_follow_the_legend(fitted):
    colours = np.empty(20, np.float32)
    fitted.data.color_attributes["Fit Error"].data.foreach_get("color", colours)
    blue, between, yellow, red, grey = colours.reshape(5, 4)
    assert blue[2] > 0.7 > 0.2 > blue[0]
    np.testing.assert_allclose(between, (blue + fit_error.colours_of(np.ones(1))[0]) / 2)
    assert min(yellow[:2]) > 0.7 > 0.2 > yellow[2]
    assert red[0] > 0.7 > 0.2 > max(red[1:3])
    assert grey[0] == grey[1] == grey[2]


@pytest.mark.parametrize("before", [("RENDERED", "MATERIAL"), ("SOLID", "OBJECT")])
def test_the_viewport_shows_them_and_goes_back_to_what_it_was(fitted, before):
    kind, color_type = before
    shading = SimpleNamespace(type=kind, color_type=color_type, as_pointer=lambda: 1)
    assert fit_error.show(fitted.data, shading)
    assert (shading.type, shading.color_type) == ("SOLID", "VERTEX")
    assert fitted.data.color_attributes.active_color_name == "Fit Error"
    assert not fit_error.show(fitted.data, shading)
    assert (shading.type, shading.color_type) == before


def test_a_viewport_of_other_colours_shows_the_error_too(fitted):
    fitted.data.color_attributes.new("Paint", "BYTE_COLOR", "POINT")
    fitted.data.color_attributes.active_color_name = "Paint"
    shading = SimpleNamespace(type="SOLID", color_type="VERTEX", as_pointer=lambda: 2)
    assert fit_error.show(fitted.data, shading)
    assert fitted.data.color_attributes.active_color_name == "Fit Error"


def test_only_a_fitted_face_has_errors(fitted, make_face, make_mesh):
    assert fit_error.has_errors(fitted)
    assert not fit_error.has_errors(make_face())
    with pytest.raises(RuntimeError, match="Select a face made by Fit Scan"):
        bpy.ops.imface.show_fit_error()
    assert not fit_error.has_errors(None)


def test_without_a_viewport_a_sentence_says_so(fitted):
    with pytest.raises(RuntimeError, match="Use this in a 3D viewport"):
        bpy.ops.imface.show_fit_error()


def test_errors_of_another_mesh_are_refused():
    arrays = {
        "vertices_mm": np.eye(3, dtype=np.float32),
        "polygons": np.array([[0, 1, 2]], np.int32),
        "error_mm": np.zeros(4, np.float32),
    }
    with pytest.raises(UserError, match="not a mesh that Blender can show"):
        FaceMesh.from_answer({}, arrays)
