# SPDX-License-Identifier: GPL-3.0-or-later
"""What ImFace stores, and the choices that its operators and its panel share.

Blender collects properties from plain base classes too, so every choice is described once.
"""

from typing import Any

import bpy
from bpy.props import (
    BoolProperty,
    EnumProperty,
    FloatProperty,
    FloatVectorProperty,
    IntProperty,
    PointerProperty,
    StringProperty,
)

from .translations import OWN_CONTEXT

TOPOLOGIES = (
    ("HEAD", "Head", "The whole head with eyes and mouth: quads and UVs, ready for expressions"),
    ("SKIN", "Face and Head", "Face, head and neck, without eyes and the inner mouth"),
    ("FACE", "Face", "The face part: quads and UVs, ready for expressions"),
    ("NARROW", "Narrow Face", "The face without its outer rim: the fewest vertices"),
    ("SURFACE", "Surface", "The network's own surface, as triangles of the given resolution"),
    (
        "QUADS",
        "Sculpt Surface",
        "The network's own surface, as even quads of the given resolution, for sculpting",
    ),
)
#: Those of them that share no vertices with another mesh.
SURFACES = ("SURFACE", "QUADS")
BLEND_PARTS = (
    ("IDENTITY", "Identity", "Mix who it is, keep the active face's expression"),
    ("EXPRESSION", "Expression", "Mix the expressions, keep who the active face is"),
    ("BOTH", "Both", "Mix who it is and the expression"),
)
PRESET_METHODS = (
    ("REPLACE", "Replace", "Set them to the preset's values, and those that it does not have to 0"),
    ("MIX", "Mix", "Move them towards the preset's values, as far as the factor says"),
)
EXPRESSION_SETS = (
    ("ARKIT", "ARKit", "Parts of expressions, such as jawOpen and mouthSmileLeft"),
    (
        "FACESCAPE",
        "FaceScape",
        "Whole expressions, such as smile, anger and eye_closed; not along with ARKit's parts, "
        "which are in them",
    ),
)
REGIONS = (
    ("BROWS", "Brows", "Brows and the forehead just above them"),
    ("EYES", "Eyes", "Eyes and lids"),
    ("NOSE", "Nose", "The nose, from its root to the nostrils"),
    ("MOUTH", "Mouth", "The lips and what surrounds them"),
    ("JAW", "Jaw", "Chin, jaw and the outer cheeks"),
)
#: In the worker's order; right is the person's own.
LANDMARKS = {
    "right_eye": "Right Outer Eye Corner",
    "left_eye": "Left Outer Eye Corner",
    "nose": "Nose Tip",
    "right_mouth": "Right Mouth Corner",
    "left_mouth": "Left Mouth Corner",
}


class MeshChoice:
    """Which mesh a face gets."""

    topology: EnumProperty(
        name="Mesh",
        description="What the face's mesh is made of",
        items=TOPOLOGIES,
        translation_context=OWN_CONTEXT,
    )
    resolution: IntProperty(
        name="Resolution",
        description="Grid cells along each side of the head; only for the network's own surface",
        default=128,
        min=32,
        max=512,
    )


class GenerateChoice:
    """Which face is generated."""

    seed: IntProperty(
        name="Seed", description="The same seed gives the same face", default=1, min=0
    )
    strength: FloatProperty(
        name="Strength",
        description="How far the face is from the average one: 0 is the average, 1 is usual",
        default=1.0,
        min=0.0,
        max=2.0,
        subtype="FACTOR",
    )


class PresetChoice:
    """What a shape preset does to the sliders."""

    method: EnumProperty(
        name="Presets",
        description="What a shape preset does to the unlocked sliders",
        items=PRESET_METHODS,
    )
    factor: FloatProperty(
        name="Factor",
        description="How far Mix moves the sliders: 0 leaves them, 1 is the preset",
        default=0.5,
        min=0.0,
        max=1.0,
        subtype="FACTOR",
    )


class FitChoice:
    """How a scan is fitted."""

    refine: BoolProperty(
        name="Capture Detail",
        description="Also carry over what the face model cannot express, such as wrinkles: moves "
        "the skin by up to 5 mm, in all expressions, and takes some seconds longer",
        default=False,
    )


class BlendChoice:
    """How two faces are mixed."""

    weight: FloatProperty(
        name="Weight",
        description="0 gives the active face, 1 the other selected one, or the mean of all others",
        default=0.5,
        min=0.0,
        max=1.0,
        subtype="FACTOR",
    )
    what: EnumProperty(name="Mix", description="What is mixed", items=BLEND_PARTS)
    regions: EnumProperty(
        name="Regions",
        description="Where the other face is mixed in, Shift-click for several; none: everywhere",
        items=REGIONS,
        options={"ENUM_FLAG"},
    )


def _place(name: str) -> Any:
    return FloatVectorProperty(
        name=LANDMARKS[name],
        description="In the world; if it is not given, a guess",
        subtype="TRANSLATION",
        options={"HIDDEN", "SKIP_SAVE"},
    )


class LandmarkPlaces:
    """Where landmarks are."""

    right_eye: _place("right_eye")
    left_eye: _place("left_eye")
    nose: _place("nose")
    right_mouth: _place("right_mouth")
    left_mouth: _place("left_mouth")


class ExpressionNames:
    """Which expressions become shape keys."""

    expression_set: EnumProperty(
        name="Set",
        description="Which expressions there are, unless Names chooses some",
        items=EXPRESSION_SETS,
    )
    names: StringProperty(
        name="Names",
        description="Expressions of either set, separated by commas, such as jawOpen, browInnerUp; "
        "empty for the whole set",
    )


class ExpressionValues:
    """Which expression values are keyframed."""

    expressions: StringProperty(
        name="Values",
        description="Such as mouthSmileLeft=1, mouthSmileRight=1; all other expressions are 0",
    )


class ExpressionFilter:
    """Which expressions the panel shows."""

    filter: StringProperty(
        name="Filter",
        description="Show only the expressions whose names contain this; empty for all",
        options={"TEXTEDIT_UPDATE"},
    )


class SceneSettings(
    GenerateChoice,
    BlendChoice,
    PresetChoice,
    FitChoice,
    MeshChoice,
    ExpressionNames,
    ExpressionFilter,
    ExpressionValues,
    bpy.types.PropertyGroup,
):
    """The values that the panel shows and hands to the operators."""


class ObjectSettings(bpy.types.PropertyGroup):
    """What makes an object a face, a landmark or a gallery of faces."""

    codes: StringProperty(name="Codes", description="The face's codes, as JSON")
    report: StringProperty(name="Report", description="How well a fit matches its scan, as JSON")
    scan: StringProperty(name="Scan", description="Name of the scan that a fit was made for")
    topology: StringProperty(name="Mesh", description="Which mesh the face has")
    face: StringProperty(name="Face", description="Which face it is; its mesh carries the same")
    is_gallery: BoolProperty(
        name="Gallery", description="Whether it holds the faces of a Random Gallery together"
    )
    untouched: StringProperty(
        name="Untouched", description="What a face of a gallery was like when it was hung up"
    )
    landmark: StringProperty(name="Landmark", description="Which landmark of its parent this marks")
    guess: FloatVectorProperty(
        name="Guess",
        description="Where Mark Landmarks has put it, in the parent's space",
        subtype="TRANSLATION",
    )


class MeshSettings(bpy.types.PropertyGroup):
    """Which shape keys of a mesh are ImFace's, where its sliders stand, what was applied."""

    shape_keys: StringProperty(name="Shape Keys", description="Expression to key name, as JSON")
    in_betweens: StringProperty(name="In-Betweens", description="Names of their keys, as JSON")
    face: StringProperty(name="Face", description="Whose mesh it is; the face carries the same")
    sliders: StringProperty(name="Sliders", description="The mesh's sliders, as JSON")
    applied: StringProperty(name="Applied", description="What was applied to it, as JSON")


class KeySettings(bpy.types.PropertyGroup):
    """What sliders the shape keys belong to: the mesh's, unless undo has parted them."""

    sliders: StringProperty(name="Sliders", description="The shape keys' sliders, as JSON")


GROUP = "imface"
CLASSES = (SceneSettings, ObjectSettings, MeshSettings, KeySettings)
OWNERS = (
    (bpy.types.Scene, SceneSettings),
    (bpy.types.Object, ObjectSettings),
    (bpy.types.Mesh, MeshSettings),
    (bpy.types.Key, KeySettings),
)


def mesh_params(choice: MeshChoice) -> dict[str, Any]:
    """Return the choice in the worker's words.

    No method: Blender 4.2 as a module crashes at exit after a PropertyGroup that had one.
    """
    return {"topology": choice.topology.lower(), "resolution": choice.resolution}


def of_scene(scene: bpy.types.Scene) -> SceneSettings:
    """Return a scene's settings."""
    return scene.imface  # type: ignore[attr-defined]


def of_object(obj: bpy.types.Object) -> ObjectSettings:
    """Return what is stored on an object."""
    return obj.imface  # type: ignore[attr-defined]


def of_mesh(mesh: bpy.types.Mesh) -> MeshSettings:
    """Return what is stored on a mesh."""
    return mesh.imface  # type: ignore[attr-defined]


def of_key(keys: bpy.types.Key) -> KeySettings:
    """Return what is stored with a mesh's shape keys."""
    return keys.imface  # type: ignore[attr-defined]


def register() -> None:
    """Give scenes, objects, meshes and shape keys an `imface` group."""
    for owner, group in OWNERS:
        setattr(owner, GROUP, PointerProperty(type=group))  # type: ignore[func-returns-value]


def unregister() -> None:
    """Take the `imface` groups away; what files store in them stays there."""
    for owner, _group in OWNERS:
        delattr(owner, GROUP)
