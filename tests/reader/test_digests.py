"""Digests of whole models: what changes outputs changes them, names, order and layout do not."""

import dataclasses
import functools
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, numpy_helper

from onnxtop.options import Digesting
from onnxtop.reader import tensors
from onnxtop.reader.account import account
from onnxtop.reader.constants import Constants
from onnxtop.reader.layers import find_layers
from onnxtop.reader.loading import load
from onnxtop.reader.terms.digests import digests_of
from onnxtop.reader.terms.facts import Function
from tests import harmless, ruins
from tests.models import model as made, node, save


def of(proto: ModelProto, folder: Path, wanted: Digesting = "normal") -> Function:
    model = load(save(proto, folder))
    constants = Constants(model)
    return digests_of(model, account(model, constants, find_layers(model, constants)), wanted)


@functools.cache
def small(name: str) -> ModelProto:
    return ruins.small(name)


@pytest.mark.parametrize("name", ruins.SOURCES)
def test_ruins_have_other_digests(name, tmp_path):
    digests = of(small(name), tmp_path)
    for told, ruined in ruins.changing_small(name)[::2]:
        found = of(ruined, tmp_path)
        assert found.terms != digests.terms, told
        assert found.normal != digests.normal, told
    assert len(ruins.changing_small(name)) > 25


@pytest.mark.parametrize("name", ruins.SOURCES)
def test_names_order_and_layout_change_nothing(name, tmp_path):
    digests = of(small(name), tmp_path)
    for change in harmless.SAME:
        found = of(change(small(name)), tmp_path)
        parts = [(each.terms, each.normal, each.structure, each.operations) for each in (found, digests)]
        assert parts[0] == parts[1], change.__name__


@pytest.mark.parametrize("name", ruins.SOURCES)
def test_the_normal_form_holds_what_is_equal_in_real_arithmetic(name, tmp_path):
    digests = of(small(name), tmp_path)
    for change in harmless.EQUIVALENT:
        assert of(change(small(name)), tmp_path).normal == digests.normal, change.__name__


def moved(model: ModelProto) -> ModelProto:
    """Move every float of the initializers, as training does."""
    made = ModelProto()
    made.CopyFrom(model)
    for tensor in made.graph.initializer:
        array = numpy_helper.to_array(tensor)
        if array.dtype.kind == "f" and tensor.name not in ("low", "high"):
            tensor.CopyFrom(numpy_helper.from_array(array * array.dtype.type(1.25), tensor.name))
    return made


@pytest.mark.parametrize("name", ruins.SOURCES)
def test_structure_is_kept_in_training_and_lost_with_any_operation(name, tmp_path):
    model = small(name)
    before = of(model, tmp_path)
    trained = of(moved(model), tmp_path)
    assert trained.terms != before.terms
    assert trained.structure == before.structure
    for change in (ruins.operations, ruins.attributes, ruins.nodes):
        for told, ruin in list(change(model))[::2]:
            ruined = moved(model)
            ruin(ruined)
            if ruins.outputs(ruined) is not None:
                found = of(ruined, tmp_path)
                assert found.structure != before.structure or found.normal == trained.normal, told


def test_structure_sees_which_of_two_alike_is_taken(tmp_path):
    """Query, key and value are products of one shape: what takes them tells them apart."""
    model = small("attention")
    before = of(model, tmp_path)
    for told, ruin in ruins.edges(model):
        operation, _, rest = told.partition(" ")
        if operation in ("Reshape", "Transpose") and " takes " in rest:
            ruined = ModelProto()
            ruined.CopyFrom(model)
            ruin(ruined)
            if ruins.outputs(ruined) is not None:
                assert of(ruined, tmp_path).structure != before.structure, told


def test_settings_that_were_attributes_once_are_structure(tmp_path):
    model = small("attention")
    before = of(model, tmp_path).structure
    for name, kept in (("low", False), ("slope", True), ("gain", True), ("heads", False), ("half", True)):
        place = [tensor.name for tensor in model.graph.initializer].index(name)
        array = numpy_helper.to_array(model.graph.initializer[place])
        ruined = ModelProto()
        ruined.CopyFrom(model)
        ruined.graph.initializer[place].CopyFrom(numpy_helper.from_array(array + array.dtype.type(1), name))
        assert (of(ruined, tmp_path).structure == before) == kept, name


def test_constants_without_content_are_named(tmp_path):
    model = ModelProto()
    model.CopyFrom(small("quantised"))
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name == "bias")
    tensor.ClearField("raw_data")
    path = tmp_path / "hollow.onnx"
    onnx.save(model, path)
    loaded = load(path)
    constants = Constants(loaded)
    counts = account(loaded, constants, find_layers(loaded, constants))
    assert digests_of(loaded, counts, "outline").unreadable == ("bias",)


@pytest.mark.parametrize("name", ruins.SOURCES)
def test_what_is_told_without_the_weights_is_the_same(name, tmp_path):
    ways: tuple[Digesting, ...] = ("normal", "whole", "outline")
    normal, whole, outline = (of(small(name), tmp_path, wanted) for wanted in ways)
    assert whole == dataclasses.replace(normal, normal=None)
    constants = {role: digest for role, digest in whole.constants.items() if role != "weights"}
    assert outline == dataclasses.replace(whole, terms=None, normal=None, constants=constants)


@pytest.mark.parametrize(("at", "hashed"), [(None, 2), (0, 0), (77_777, 2)])
def test_only_constants_that_look_alike_are_hashed(at, hashed, tmp_path, monkeypatch):
    """Two weights of the same bytes are one constant; a difference where nobody looks parts them as well."""
    w = np.random.default_rng(0).standard_normal((160, 160)).astype(np.float32)
    v = w.copy()
    if at is not None:
        v.view(np.uint8).ravel()[at] ^= 1
    nodes = [node("MatMul", "x w", "h"), node("MatMul", "x v", "g"), node("Add", "h g")]
    proto = made(nodes, {"w": w, "v": v}, {"x": [1, 160]})
    whole, calls = of(proto, tmp_path), []
    inner = tensors.digest_of_elements
    monkeypatch.setattr(tensors, "digest_of_elements", lambda array: calls.append(array) or inner(array))
    assert of(proto, tmp_path, "outline").structure == whole.structure
    assert of(proto, tmp_path, "outline").operations["MatMul"] == (1 if at is None else 2)
    assert len(calls) == 2 * hashed


def test_constants_that_are_stored_in_two_forms_are_one(tmp_path):
    w = np.random.default_rng(0).integers(-99, 99, (300, 300)).astype(np.int8)
    nodes = [node("MatMulInteger", "x w", "h"), node("MatMulInteger", "x v", "g"), node("Add", "h g")]
    proto = made(nodes, {"w": w, "v": w}, {"x": [1, 300]})
    (other,) = (each for each in proto.graph.initializer if each.name == "v")
    other.ClearField("raw_data")
    other.int32_data.extend(w.ravel().tolist())
    whole, outline = (of(proto, tmp_path, wanted) for wanted in ("normal", "outline"))
    assert outline.operations == whole.operations == {"Add": 1, "MatMulInteger": 1}
    assert outline.structure == whole.structure
