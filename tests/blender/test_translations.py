# SPDX-License-Identifier: GPL-3.0-or-later
"""Every text that a user sees has its translation, and every translation its text."""

import ast
import string
from pathlib import Path

import blf
import bpy
import pytest

import imface_blender
from imface_blender import errors, faces, jobs, translations
from imface_blender.panels import main, sections
from imface_blender.slider_names import GROUPS, LOCK, LOCK_MEANING, UNIT, short_title
from imface_blender.translations import OPERATOR_CONTEXT, OWN_CONTEXT, TEXT_CONTEXT
from tests.blender.test_panels import draw

ADDON = Path(imface_blender.__file__).parent
BACKEND = ADDON.parent / "backend"
#: What of the backend the worker never runs; the command line speaks English.
COMMAND_LINE = {
    "learn",
    "commands.py",
    "fit_command.py",
    "__main__.py",
    "released.py",
    "landmark_files.py",
}
COMMAND_LINE_FUNCTIONS = {"load_scan", "save_mesh", "read_json"}


def parsed(folder):
    """Return the syntax trees of a package's modules."""
    return {path: ast.parse(path.read_text("utf-8")) for path in sorted(folder.rglob("*.py"))}


TREES = parsed(ADDON)
WORKER_TREES = {
    path: tree
    for path, tree in parsed(BACKEND).items()
    if not COMMAND_LINE & set(path.relative_to(BACKEND).parts)
}
TEMPLATES = ("say", "label", "UserError", "WorkerError")
#: The worker's calls that take a text -> at which place.
WORKER_TEMPLATES = {"Text": 0, "_message": 0, "report": 1, "_report": 1} | {
    node.name: 0
    for node in WORKER_TREES[BACKEND / "errors.py"].body
    if isinstance(node, ast.ClassDef) and node.name.endswith("Error")
}
#: What is drawn or translated by way of a variable, whose texts are collected elsewhere.
KNOWN = ("self.label", "self.template", "title(name)", "region", "name", "header['message']")
KNOWN += ("text", "template", "message", "error.text", "report['advice']")  # the worker's
#: Of a slider in a sidebar as wide as Blender makes it, what is left for name and value.
TEXT_PX = 165


def described():
    """Yield (context, text) of all that Blender shows of the registered classes."""
    for cls in imface_blender.CLASSES:
        rna = cls.bl_rna
        if issubclass(cls, bpy.types.Operator):
            rna = getattr(bpy.ops.imface, cls.bl_idname.split(".")[1]).get_rna_type()
            yield rna.translation_context, rna.name
            yield TEXT_CONTEXT, rna.description
        elif issubclass(cls, bpy.types.Panel):
            yield TEXT_CONTEXT, cls.bl_label
            yield TEXT_CONTEXT, cls.bl_category
        elif issubclass(cls, bpy.types.FileHandler | bpy.types.Menu):
            yield TEXT_CONTEXT, cls.bl_label
        for prop in rna.properties:
            if prop.is_runtime and not prop.is_hidden:
                yield from property_texts(prop)


def property_texts(prop):
    yield prop.translation_context, prop.name
    yield TEXT_CONTEXT, prop.description
    for item in getattr(prop, "enum_items", ()):
        yield prop.translation_context, item.name
        yield TEXT_CONTEXT, item.description


def written():
    """Yield (context, text) of all that the source hands to Blender as it runs."""
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                yield from call_texts(node, f"{path.name}:{node.lineno}")
            elif isinstance(node, ast.ClassDef):
                yield from job_labels(node)
    for region, sliders in GROUPS.items():
        yield OWN_CONTEXT, region
        yield from ((OWN_CONTEXT, short_title(region, name)) for name in sliders)
    yield from ((OPERATOR_CONTEXT, pose) for pose in sections.POSES)
    yield from ((TEXT_CONTEXT, region) for region in sections.EXPRESSION_REGIONS)


def call_texts(call, place):
    """Yield the texts of one call; those put together must have come from a template."""
    function = getattr(call.func, "id", getattr(call.func, "attr", ""))
    named = {keyword.arg: keyword.value for keyword in call.keywords}
    context = OPERATOR_CONTEXT if function == "operator" else TEXT_CONTEXT
    if function in TEMPLATES and isinstance(call.func, ast.Name):  # no layout.label
        yield from ((context, text) for text in texts_of(call.args[0], place))
    elif function == "report":
        assert not isinstance(call.args[1], ast.JoinedStr | ast.Constant), place
    elif function == "undo_push":
        yield from ((context, text) for text in texts_of(named["message"], place))
    elif "text" in named and "translate" not in named:
        yield from ((context, text) for text in texts_of(named["text"], place) if text)


def told():
    """Yield all templates of what the worker says, of its progress and of errors."""
    for path, tree in WORKER_TREES.items():
        for part in tree.body:
            if getattr(part, "name", "") not in COMMAND_LINE_FUNCTIONS:
                yield from told_in(part, path.name)


def told_in(part, file):
    """Yield the templates in a part of a module."""
    for node in ast.walk(part):
        function = getattr(node, "func", None)
        name = getattr(function, "id", getattr(function, "attr", ""))
        if name in WORKER_TEMPLATES and node.args:  # a preview has no text
            text = node.args[WORKER_TEMPLATES[name]]
            if not isinstance(text, ast.Call):  # of Text, which comes by itself
                yield from texts_of(text, f"{file}:{node.lineno}")


def texts_of(node, place):
    """Return the texts that an expression can have."""
    if isinstance(node, ast.Constant):
        return [node.value]
    if isinstance(node, ast.Name | ast.Attribute):
        name = getattr(node, "attr", getattr(node, "id", ""))
        if name.isupper():
            return [CONSTANTS[name]]
    assert ast.unparse(node) in KNOWN, f"{place}: {ast.unparse(node)}"
    return []


CONSTANTS = {
    node.targets[0].id: ast.literal_eval(node.value)
    for tree in (*TREES.values(), *WORKER_TREES.values())
    for node in tree.body
    if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
}


def job_labels(cls):
    """Yield what an operator says that it does while its job runs."""
    for node in cls.body:
        if isinstance(node, ast.Assign) and node.targets[0].id == "label" and node.value.value:
            yield TEXT_CONTEXT, node.value.value


@pytest.fixture(scope="module")
def seen():
    """Return all (context, text) that a user sees in English."""
    return {*described(), *written(), *((TEXT_CONTEXT, text) for text in told())}


@pytest.fixture(params=translations.LANGUAGES)
def language(request):
    """Return a language's module."""
    return translations.LANGUAGES[request.param]


def test_every_text_is_translated(language, seen):
    assert len(seen) > 400
    assert seen - translations.messages(language).keys() == set()


def test_every_translation_has_its_text(language, seen):
    put_together = {text.capitalize() for group in GROUPS.values() for text in group.values()}
    put_together |= {UNIT, LOCK, LOCK_MEANING}
    operators = {text for context, text in seen if context == OPERATOR_CONTEXT}
    texts = {text for context, text in seen if context != OPERATOR_CONTEXT} | put_together
    assert language.OPERATORS.keys() - operators == set()
    assert language.TEXTS.keys() - texts == set()
    assert {(OWN_CONTEXT, text) for text in language.WORDS} - seen == set()


def fields(template):
    """Return what is filled into a template, each with its format."""
    return {part[1:] for part in string.Formatter().parse(template) if part[1] is not None}


def test_translations_fill_in_the_same_and_end_alike(language):
    for text, translation in (language.TEXTS | language.OPERATORS).items():
        assert translation.strip() == translation != "", text
        assert fields(translation) == fields(text), text
        assert translation.endswith(".") == text.endswith("."), text


def test_the_worker_fills_in_nothing_but_text():
    texts = set(told())
    assert len(texts) > 50
    for text in texts:
        assert all(form == "" for _, form, _ in fields(text)), text


def test_what_stands_in_braces_on_its_own_is_not_filled_in():
    error = errors.UserError("'{name}' is no mesh. Select a mesh object", name="{curly}")
    assert str(error) == "'{curly}' is no mesh. Select a mesh object"


@pytest.fixture
def german():
    """Speak German; Blender as a module has no languages, so that its part is played here."""
    own = translations.messages(translations.LANGUAGES["de"])
    translations.use(*[lambda text, context=TEXT_CONTEXT: own.get((context, text), text)] * 2)
    yield
    blender = bpy.app.translations
    translations.use(blender.pgettext_rpt, blender.pgettext_iface)


def test_labels_that_blender_translates_itself():
    own = translations.dictionary()["de"]
    assert own[OPERATOR_CONTEXT, "Generate Face"] == "Gesicht erzeugen"
    assert own[OWN_CONTEXT, "Face"] == "Gesicht"  # not Blender's "Fläche"
    topology = bpy.types.Scene.bl_rna.properties["imface"].fixed_type.properties["topology"]
    assert topology.translation_context == OWN_CONTEXT
    assert own[TEXT_CONTEXT, "Lock Nose Length"] == "Nasenlänge sperren"
    nose = bpy.types.Mesh.bl_rna.properties["imface_sliders"].fixed_type.properties["noseLength"]
    translation = own[TEXT_CONTEXT, nose.description]
    assert translation.startswith("Von der Wurzel zur Basis der Nase. In Standardabweichungen")


def test_what_is_put_together_is_translated(german, make_face, assert_refused):
    jobs.close_worker()
    assert draw(main.IMFACE_PT_main).drawn[0] == "Der Worker ist noch nicht gestartet"
    face = make_face()
    assert face.name == "Face"  # names of datablocks are not translated
    assert jobs.worker_line() == "PyTorch 2.13.0 auf CPU, Python 3.11.7"
    assert faces.why_not_mesh(None) == "Kein Objekt ist aktiv. Ein Mesh-Objekt auswählen"
    assert_refused(bpy.ops.imface.remove_bake, "„Face“ hat keine gebackene Animation")
    assert_refused(bpy.ops.imface.bake_animation, "„Face“ hat noch keine Ausdrücke", start=1, end=2)
    bpy.ops.imface.add_expressions()
    assert_refused(
        bpy.ops.imface.keyframe_expression,
        "„jawOpen=2“ ist kein Wert von 0 bis 1. Zum Beispiel jawOpen=0.5 schreiben.",
        expressions="jawOpen=2",
    )
    assert "jawOpen" in face.data.shape_keys.key_blocks


def test_the_worker_speaks_german(german, make_face, assert_refused):
    make_face()
    sentence = "Dieses Modell hat keinen Ausdruck „wink“. Ihn weglassen."
    assert_refused(bpy.ops.imface.add_expressions, sentence, names="wink")
    assert jobs.status.error == sentence


def test_sliders_speak_german(german, make_face):
    make_face(seed=4711)  # no other test has loaded this face's sliders
    bpy.ops.imface.edit_shape()
    assert "Länge +0.0 mm" in draw(sections.IMFACE_PT_shape).drawn


@pytest.mark.parametrize("locale", ["en", *translations.LANGUAGES])
def test_sliders_names_fit_into_the_sidebar(locale):
    translated = translations.dictionary().get(locale, {})
    blf.size(0, 11)  # of Blender's own text, in pixels
    for region, sliders in GROUPS.items():
        for text in (short_title(region, name) for name in sliders):
            word = translated.get((OWN_CONTEXT, text), text)
            assert blf.dimensions(0, f"{word} -12.3 mm" + "-2.50")[0] <= TEXT_PX, word
