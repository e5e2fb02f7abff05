# SPDX-License-Identifier: GPL-3.0-or-later
"""Random sequences of what an artist does: the sliders and the mesh say the same after each."""

import json
import os
import random

import bpy
import numpy as np
import pytest

from imface_blender import sliders
from imface_blender.slider_names import NAMES
from tests.blender.known_sliders import preview

SEEDS = range(1, 1 + int(os.environ.get("IMFACE_TEST_SEEDS", "2")))
ACTIONS = int(os.environ.get("IMFACE_TEST_ACTIONS", "80"))
KEYS = ("jawOpen", "mouthSmileLeft", "mouthSmileRight")  # the last vertex up by 1, 2, 3 mm


class Fuzz:
    """Random actions, each an undo step, beside a history of what the sliders must show."""

    def __init__(self, seed, folder, points):
        self.random, self.folder, self.points = random.Random(seed), folder, points
        self.preset = {}
        self.begin({})

    def begin(self, shown):
        """Start a history, as Blender does when it loads a file."""
        self.history, self.now = [shown], 0
        bpy.ops.ed.undo_push(message="Begin")

    def push(self, **changes):
        shown = {**self.history[self.now], **changes}
        shown = {name: values for name, values in shown.items() if values is not None}
        self.history[self.now + 1 :] = [shown]
        self.now += 1
        bpy.ops.ed.undo_push(message="Fuzz")

    def push_values(self, face, values):
        """Push what a face's sliders stand at, and with them those of all that share its mesh."""
        users = [obj.name for obj in bpy.data.objects if obj.data == face.data]
        self.push(**dict.fromkeys(users, values))

    def step(self):
        names = list(self.history[self.now])
        if not names:
            return self.new()
        if bpy.context.mode != "OBJECT":  # as an undo may have left it
            bpy.ops.object.mode_set(mode="OBJECT")
        face = bpy.data.objects[self.random.choice(names)]
        for obj in bpy.context.view_layer.objects:
            obj.select_set(obj == face)
        bpy.context.view_layer.objects.active = face
        if sliders.why_not(face):
            bpy.ops.imface.edit_shape()
        of_faces = [self.slide] * 6 + [self.refine] * 3
        of_faces += [self.draw, self.reset, self.duplicate, self.rename, self.delete, self.express]
        of_faces += [self.material, self.twin, self.append, self.copy, self.edit_mode]
        of_faces += [self.save_preset, self.apply_preset]
        others = [self.undo] * 5 + [self.redo] * 3 + [self.reload, self.new, self.gallery]
        action = self.random.choice(of_faces + others)
        return action() if action in others else action(face)

    def new(self):
        bpy.ops.imface.generate(seed=self.random.randrange(3))
        bpy.ops.imface.edit_shape()
        self.push(**{bpy.context.object.name: {}})

    def slide(self, face):
        name = self.random.choice(NAMES)
        for _ in range(3):
            setattr(face.data.imface_sliders, name, self.random.choice([0, 1, -2.5, 4]))
        value = getattr(face.data.imface_sliders, name)
        self.push_values(face, self.history[self.now][face.name] | {name: value})

    def undo(self):
        if self.now > 0:
            self.now -= 1
            bpy.ops.ed.undo()

    def redo(self):
        if self.now < len(self.history) - 1:
            self.now += 1
            bpy.ops.ed.redo()

    def refine(self, face):
        if not sliders.is_exact(face.data):
            bpy.ops.imface.refine_shape("EXEC_DEFAULT", True)

    def draw(self, face):
        bpy.ops.imface.randomize_shape(seed=self.random.randrange(9))
        self.push_values(face, sliders.values_of(face.data))

    def reset(self, face):
        bpy.ops.imface.reset_shape()
        self.push_values(face, {})

    def save_preset(self, face):
        bpy.ops.imface.save_preset(preset="Fuzz")
        self.preset = self.history[self.now][face.name]

    def apply_preset(self, face):
        if self.preset:
            bpy.ops.imface.apply_preset(preset="Fuzz", method="REPLACE")
            self.push_values(face, self.preset)

    def edit_mode(self, face):
        bpy.ops.object.mode_set(mode="EDIT")
        setattr(face.data.imface_sliders, NAMES[0], 3)  # says why it does not
        self.push()
        if self.random.random() < 0.5:
            self.undo()
            self.redo()
        bpy.ops.object.mode_set(mode="OBJECT")
        self.push()

    def duplicate(self, face, linked=False):
        bpy.ops.object.duplicate(linked=linked)
        self.push(**{bpy.context.object.name: self.history[self.now][face.name]})

    def twin(self, face):
        self.duplicate(face, linked=True)

    def append(self, face):
        path = str(self.folder / "library.blend")
        bpy.data.libraries.write(path, {face})
        with bpy.data.libraries.load(path) as (_, here):
            here.objects = [face.name]
        (appended,) = here.objects
        bpy.context.scene.collection.objects.link(appended)
        self.push(**{appended.name: self.history[self.now][face.name]})

    def copy(self, face):
        self.reset(face)  # the fake has no codes for a moved face
        path = str(self.folder / "face.codes.json")
        bpy.ops.imface.export_codes(filepath=path)
        bpy.ops.imface.load_codes(filepath=path)
        self.push(**{bpy.context.object.name: {}})

    def gallery(self):
        bpy.ops.imface.random_gallery(seed=self.random.randrange(3))
        bpy.ops.imface.keep_face()
        self.push(**{bpy.context.object.name: {}})

    def rename(self, face):
        values, old = self.history[self.now][face.name], face.name
        face.name = f"Renamed {self.now}"
        self.push(**{old: None, face.name: values})

    def delete(self, face):
        old = face.name
        bpy.data.objects.remove(face)
        self.push(**{old: None})

    def reload(self):
        path = str(self.folder / "fuzz.blend")
        bpy.ops.wm.save_as_mainfile(filepath=path)
        bpy.ops.wm.open_mainfile(filepath=path)
        self.begin(self.history[self.now])

    def express(self, face):
        bpy.ops.imface.add_expressions()
        self.push()

    def material(self, face):
        face.data.materials.append(None)
        self.push()

    def check(self):
        shown = self.history[self.now]
        assert set(bpy.data.objects.keys()) == set(shown)
        for name, values in shown.items():
            mesh = bpy.data.objects[name].data
            for slider in NAMES:
                expected = pytest.approx(values.get(slider, 0), abs=1e-6)
                assert getattr(mesh.imface_sliders, slider) == expected
            self.check_points(mesh, mesh.imface.sliders, mesh.vertices)
            if mesh.shape_keys:
                self.check_keys(mesh, mesh.shape_keys)

    def check_keys(self, mesh, keys):
        text = keys.imface.sliders or mesh.imface.sliders
        assert not text or json.loads(text)["values"] == sliders.values_of(mesh)
        self.check_points(mesh, text, keys.reference_key.data)
        basis = self.points(keys.reference_key.data)
        for millimetres, name in enumerate(KEYS, start=1):
            offset = self.points(keys.key_blocks[name].data) - basis
            expected = [[0, 0, 0]] * 4 + [[0, 0, millimetres / 1000]]
            np.testing.assert_allclose(offset, expected, atol=2e-6)

    def check_points(self, mesh, text, data):
        np.testing.assert_allclose(self.points(data), preview(text), atol=2e-6)


@pytest.mark.parametrize("seed", SEEDS)
def test_sliders_and_mesh_never_disagree(seed, tmp_path, points):
    fuzz = Fuzz(seed, tmp_path, points)
    for _ in range(ACTIONS):
        fuzz.step()
        fuzz.check()
