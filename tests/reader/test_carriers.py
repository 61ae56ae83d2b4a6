"""What is a weight, and what only modulates: small networks whose weights are known.

Every network is tried with an open batch, with a batch of 1 (where all sizes are known) and without shapes.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import pytest
from onnx import ModelProto, numpy_helper, parser

from onnxtop.auditing.story import audit
from onnxtop.reader.carriers.chains import chains_of
from onnxtop.reader.carriers.operands import find_operands
from onnxtop.reader.carriers.spanning import Spanning
from onnxtop.reader.constants import Constants
from onnxtop.reader.layer import Layer, Skipped
from onnxtop.reader.layers import find_layers
from onnxtop.reader.loading import load
from onnxtop.reader.model import Node
from tests.models import (
    check_consistent,
    graph,
    layers_of,
    model,
    node,
    only_layer,
    only_skipped,
    run,
    save,
    weights,
)

READ, SKIPPED = "read", "skipped"
SETTINGS = ("open batch", "batch of 1", "no shapes")


class Net(NamedTuple):
    """Inputs and nodes as ONNX text, the shapes or arrays of its constants, and what its weights become.

    ``open_in`` are settings in which too little is known of shapes to tell.
    """

    inputs: str
    nodes: str
    held: dict[str, Any]
    weights: dict[str, str]
    open_in: tuple[str, ...] = ()


_SCORES = """
    q = MatMul (x, wq)
    k = MatMul (x, wk)
    kt = Transpose <perm = [0, 2, 1]> (k)
    s = MatMul (q, kt)
"""
_ATTENDED = """
    p = Softmax (sb)
    o = MatMul (p, x)
    y = MatMul (o, wo)
"""
_PROJECTIONS = {"wq": (16, 16), "wk": (16, 16), "wo": (16, 16)}
_ALL_READ = dict.fromkeys(_PROJECTIONS, READ)

NETS = {
    "rotary tables of a fixed length": Net(
        "float[N,6,16] x",
        """
        q0 = MatMul (x, wq)
        left, right = Split <axis = 2> (q0, halves)
        turned = Neg (right)
        rolled = Concat <axis = 2> (turned, left)
        a = Mul (q0, cos)
        b = Mul (rolled, sin)
        q = Add (a, b)
        k = MatMul (x, wk)
        kt = Transpose <perm = [0, 2, 1]> (k)
        s = MatMul (q, kt)
        sb = Add (s, mask)
        """
        + _ATTENDED,
        {**_PROJECTIONS, "cos": (6, 16), "sin": (6, 16), "halves": np.array([8, 8]), "mask": (6, 6)},
        _ALL_READ,
    ),
    "rotary tables by position": Net(
        "float[N,6,16] x, int64[N,6] places",
        """
        q0 = MatMul (x, wq)
        c = Gather (cos, places)
        s0 = Gather (sin, places)
        a = Mul (q0, c)
        n = Neg (q0)
        b = Mul (n, s0)
        q = Add (a, b)
        k = MatMul (x, wk)
        kt = Transpose <perm = [0, 2, 1]> (k)
        sb = MatMul (q, kt)
        """
        + _ATTENDED,
        {**_PROJECTIONS, "cos": (32, 16), "sin": (32, 16)},
        _ALL_READ,
    ),
    "rotary frequencies that positions are multiplied with": Net(
        "float[N,T,16] x",
        f"""
        {_SCORES}
        length = Shape <start = 1, end = 2> (x)
        end = Squeeze (length)
        start = Constant <value = int64 {{0}}> ()
        step = Constant <value = int64 {{1}}> ()
        places = Range (start, end, step)
        far = Cast <to = 1> (places)
        row = Reshape (far, in_a_row)
        angles = MatMul (frequencies, row)
        turned = Transpose (angles)
        cos = Cos (turned)
        last = Mul (x, cos)
        y = MatMul (last, wo)
        """,
        {**_PROJECTIONS, "in_a_row": np.array([1, -1]), "frequencies": (16, 1)},
        _ALL_READ,
    ),
    "positions in a layer of their own": Net(
        "float[N,T,16] x",
        f"""
        {_SCORES}
        length = Shape <start = 1, end = 2> (x)
        end = Squeeze (length)
        start = Constant <value = int64 {{0}}> ()
        step = Constant <value = int64 {{1}}> ()
        places = Range (start, end, step)
        far = Cast <to = 1> (places)
        column = Reshape (far, in_a_column)
        there = MatMul (column, w)
        last = Add (x, there)
        y = MatMul (last, wo)
        """,
        {**_PROJECTIONS, "in_a_column": np.array([-1, 1]), "w": (1, 16)},
        _ALL_READ | {"w": READ},
    ),
    "linear biases of attention": Net(
        "float[N,6,16] x",
        _SCORES + "b = Mul (slope, distance) sb = Add (s, b)" + _ATTENDED,
        {**_PROJECTIONS, "slope": (1, 1, 1), "distance": (6, 6)},
        _ALL_READ,
    ),
    "linear biases of an open length": Net(
        "float[N,T,16] x",
        _SCORES
        + """
        whole = Shape (x)
        length = Gather <axis = 0> (whole, one)
        zero = Constant <value = int64 {0}> ()
        step = Constant <value = int64 {1}> ()
        places = Range (zero, length, step)
        far = Cast <to = 1> (places)
        b = Mul (slope, far)
        sb = Add (s, b)
        """
        + _ATTENDED,
        {**_PROJECTIONS, "slope": (1, 1, 1), "one": np.array(1)},
        _ALL_READ,
    ),
    "linear biases of an open length, cut along an axis that is computed": Net(
        "float[N,T,16] x",
        f"""
        {_SCORES}
        length = Shape <start = 1, end = 2> (x)
        axis = Unsqueeze (two, zero)
        cut = Slice (bias, zero, length, axis)
        sb = Add (s, cut)
        {_ATTENDED}
        """,
        {**_PROJECTIONS, "two": np.array(2), "zero": np.array([0]), "bias": (1, 6, 12)},
        _ALL_READ,
    ),
    "relative biases by a constant index": Net(
        "float[N,6,16] x",
        _SCORES + "g = Gather (table, pairs) b = Reshape (g, to) sb = Add (s, b)" + _ATTENDED,
        {
            **_PROJECTIONS,
            "table": (11, 1),
            "pairs": np.arange(36).reshape(6, 6) % 11,
            "to": np.array([1, 6, 6]),
        },
        _ALL_READ,
    ),
    "relative biases by an index of the length": Net(
        "float[N,T,16] x, int64[T,T] pairs",
        _SCORES
        + "g = Gather (table, pairs) b = Transpose <perm = [2, 0, 1]> (g) sb = Add (s, b)"
        + _ATTENDED,
        {**_PROJECTIONS, "table": (32, 1)},
        _ALL_READ,
    ),
    "relative keys, which are multiplied": Net(
        "float[N,6,16] x, int64[6,6] pairs",
        """
        q = MatMul (x, wq)
        qt = Transpose <perm = [1, 0, 2]> (q)
        e = Gather (table, pairs)
        et = Transpose <perm = [0, 2, 1]> (e)
        s = MatMul (qt, et)
        y = MatMul (s, w)
        """,
        {"wq": (16, 16), "table": (32, 16), "w": (6, 4)},
        {"wq": READ, "table": READ, "w": READ},
    ),
    "squeeze and excitation": Net(
        "float[N,8,6,6] x",
        """
        c = Conv <pads = [1, 1, 1, 1]> (x, k)
        g = GlobalAveragePool (c)
        a = Conv (g, down)
        r = Relu (a)
        b = Conv (r, up)
        s = Sigmoid (b)
        m = Mul (c, s)
        y = Conv (m, last)
        """,
        {"k": (8, 8, 3, 3), "down": (2, 8, 1, 1), "up": (8, 2, 1, 1), "last": (4, 8, 1, 1)},
        dict.fromkeys(("k", "down", "up", "last"), READ),
    ),
    "feature-wise modulation": Net(
        "float[N,6,16] x, float[N,1,4] z",
        """
        g = MatMul (z, wg)
        b = MatMul (z, wb)
        n = LayerNormalization (x, gain)
        m = Mul (n, g)
        a = Add (m, b)
        y = MatMul (a, w)
        """,
        {"wg": (4, 16), "wb": (4, 16), "gain": (16,), "w": (16, 8)},
        {"wg": READ, "wb": READ, "w": READ},
    ),
    "gates, a scale of the branch and learned positions": Net(
        "float[N,6,16] x",
        """
        g = MatMul (x, wg)
        s = Sigmoid (g)
        u = MatMul (x, wu)
        h = Mul (s, u)
        d = MatMul (h, wd)
        l = Mul (d, gamma)
        r = Add (x, l)
        p = Add (r, places)
        y = MatMul (p, w)
        """,
        {"wg": (16, 32), "wu": (16, 32), "wd": (32, 16), "gamma": (16,), "places": (1, 6, 16), "w": (16, 4)},
        dict.fromkeys(("wg", "wu", "wd", "w"), READ),
    ),
    "scales of an activation that is multiplied with itself": Net(
        "float[N,6,16] x",
        """
        a = Mul (x, one)
        b = Mul (x, two)
        bt = Transpose <perm = [0, 2, 1]> (b)
        s = MatMul (a, bt)
        y = MatMul (s, w)
        """,
        {"one": (1, 6, 16), "two": (1, 6, 16), "w": (6, 4)},
        {"w": READ},
    ),
    "weights that another network makes": Net(
        "float[N,16] x, float[1,4] z",
        "wz = MatMul (z, wh) w = Reshape (wz, to) h = MatMul (x, w) y = MatMul (h, last)",
        {"wh": (4, 128), "to": np.array([16, 8]), "last": (8, 2)},
        {"wh": READ, "last": READ},
    ),
    "a weight that another network adds to": Net(
        "float[N,16] x, float[1,4] z",
        "wz = MatMul (z, wh) dw = Reshape (wz, to) w = Add (base, dw) h = MatMul (x, w) y = MatMul (h, last)",
        {"wh": (4, 128), "to": np.array([16, 8]), "base": (16, 8), "last": (8, 2)},
        {"wh": READ, "last": READ, "base": SKIPPED},
        open_in=("batch of 1", "no shapes"),
    ),
    "a weight with a gain that the input makes": Net(
        "float[N,16] x",
        """
        m = ReduceMean <keepdims = 1> (x, both)
        unit = LpNormalization <axis = 0> (w)
        scaled = Mul (unit, m)
        h = MatMul (x, scaled)
        y = MatMul (h, last)
        """,
        {"both": np.array([0, 1]), "w": (16, 8), "last": (8, 2)},
        {"w": SKIPPED, "last": READ},
        open_in=("no shapes",),
    ),
    "a product written as Mul and ReduceSum": Net(
        "float[N,1,16] x",
        "m = Mul (x, w) s = ReduceSum <keepdims = 0> (m, last_axis) y = MatMul (s, last)",
        {"w": (1, 8, 16), "last_axis": np.array([2]), "last": (8, 2)},
        {"w": SKIPPED, "last": READ},
        open_in=("no shapes",),
    ),
    "taps that are multiplied one by one": Net(
        "float[N,8,6] x",
        """
        a = Mul (x, here)
        padded = Pad (x, pads)
        moved = Slice (padded, zero, six, along)
        b = Mul (moved, there)
        c = Add (a, b)
        y = Conv (c, k)
        """,
        {
            "here": (8, 1),
            "there": (8, 1),
            "pads": np.array([0, 0, 1, 0, 0, 0]),
            "zero": np.array([0]),
            "six": np.array([6]),
            "along": np.array([2]),
            "k": (4, 8, 1),
        },
        {"k": READ},
    ),
    "an embedding of time": Net(
        "float[N,1] t, float[N,16] x",
        """
        a = Mul (t, rates)
        s = Sin (a)
        c = Cos (a)
        e = Concat <axis = 1> (s, c)
        h = MatMul (e, wt)
        g = Add (x, h)
        y = MatMul (g, w)
        """,
        {"rates": (1, 8), "wt": (16, 16), "w": (16, 4)},
        {"wt": READ, "w": READ},
    ),
    "an embedding of time in a product of activations": Net(
        "float[N,1] t, float[N,8,16] x",
        """
        a = Mul (t, rates)
        s = Sin (a)
        u = Unsqueeze (s, last_axis)
        v = MatMul (x, u)
        f = Squeeze (v, last_axis)
        y = MatMul (f, w)
        """,
        {"rates": (1, 16), "last_axis": np.array([2]), "w": (8, 4)},
        {"w": READ},
    ),
    "learned queries, one copy a sample": Net(
        "float[N,6,16] x",
        """
        count = Shape <start = 0, end = 1> (x)
        sizes = Concat <axis = 0> (count, rest)
        copies = Expand (queries, sizes)
        q = MatMul (copies, wq)
        kt = Transpose <perm = [0, 2, 1]> (x)
        s = MatMul (q, kt)
        p = Softmax (s)
        o = MatMul (p, x)
        y = MatMul (o, w)
        """,
        {"queries": (1, 3, 16), "rest": np.array([3, 16]), "wq": (16, 16), "w": (16, 4)},
        {"wq": READ, "w": READ},
    ),
    "a first token and positions": Net(
        "float[N,6,16] x",
        """
        count = Shape <start = 0, end = 1> (x)
        sizes = Concat <axis = 0> (count, rest)
        first = Expand (token, sizes)
        all = Concat <axis = 1> (first, x)
        a = Add (all, places)
        kt = Transpose <perm = [0, 2, 1]> (a)
        s = MatMul (a, kt)
        p = Softmax (s)
        o = MatMul (p, a)
        y = MatMul (o, w)
        """,
        {"token": (1, 1, 16), "rest": np.array([1, 16]), "places": (1, 7, 16), "w": (16, 4)},
        {"w": READ},
    ),
    "a pruned weight": Net(
        "float[N,16] x",
        "kept = Mul (w, mask) h = MatMul (x, kept) y = MatMul (h, last)",
        {"w": (16, 8), "mask": (16, 8), "last": (8, 2)},
        {"w": READ, "mask": READ, "last": READ},
    ),
    "tables of words and of places": Net(
        "int64[N,6] words, int64[N,6] places",
        """
        e = Gather (table, words)
        p = Gather (positions, places)
        x = Add (e, p)
        n = LayerNormalization (x, gain)
        y = MatMul (n, w)
        """,
        {"table": (50, 16), "positions": (8, 16), "gain": (16,), "w": (16, 4)},
        {"table": READ, "positions": READ, "w": READ},
    ),
    "an embedding that is averaged and given out": Net(
        "int64[N,6] words",
        "e = Gather (table, words) y = ReduceMean <keepdims = 0> (e, one)",
        {"table": (50, 16), "one": np.array([1])},
        {"table": READ},
    ),
    "an embedding that is pooled under a mask of its shape": Net(
        "int64[N,6] words, int64[N,6] there",
        """
        e = Gather (table, words)
        u = Unsqueeze (there, last_axis)
        sizes = Shape (e)
        wide = Expand (u, sizes)
        mask = Cast <to = 1> (wide)
        kept = Mul (e, mask)
        sum = ReduceSum <keepdims = 0> (kept, one)
        count = ReduceSum <keepdims = 0> (mask, one)
        y = Div (sum, count)
        """,
        {"table": (50, 16), "last_axis": np.array([-1]), "one": np.array([1])},
        {"table": READ},
    ),
    "an embedding without its filling, whose mask is made of the words": Net(
        "int64[N,6] words",
        """
        e = Gather (table, words)
        filling = Equal (words, none)
        word = Not (filling)
        one = Cast <to = 1> (word)
        u = Unsqueeze (one, last_axis)
        sizes = Shape (e)
        mask = Expand (u, sizes)
        kept = Mul (e, mask)
        y = MatMul (kept, w)
        """,
        {"table": (50, 16), "none": np.array(0), "last_axis": np.array([-1]), "w": (16, 4)},
        {"table": READ, "w": READ},
    ),
    "an embedding under a mask from outside": Net(
        "int64[N,6] words, float[N,6,16] mask",
        "e = Gather (table, words) m = Div (e, mask) n = LayerNormalization (m, gain) y = MatMul (n, w)",
        {"table": (50, 16), "gain": (16,), "w": (16, 4)},
        {"table": READ, "w": READ},
    ),
    "an embedding and what a network makes of a user, in a product that is written out": Net(
        "int64[N] items, float[N,8] user",
        "e = Gather (table, items) u = MatMul (user, wu) m = Mul (e, u) y = ReduceMean <axes = [-1]> (m)",
        {"table": (50, 16), "wu": (8, 16)},
        {"table": READ, "wu": READ},
        open_in=("no shapes",),
    ),
    "an embedding that a network gates": Net(
        "int64[N,6] words, float[N,6,8] x",
        """
        e = Gather (table, words)
        h = MatMul (x, wg)
        g = Sigmoid (h)
        n = LayerNormalization (e, gain)
        m = Mul (n, g)
        y = MatMul (m, w)
        """,
        {"table": (50, 16), "wg": (8, 16), "gain": (16,), "w": (16, 4)},
        {"table": SKIPPED, "wg": READ, "w": READ},
    ),
    "rotary tables in one, cut in halves": Net(
        "float[N,6,16] x, int64[N,6] places",
        """
        q0 = MatMul (x, wq)
        k0 = MatMul (x, wk)
        both = Gather (table, places)
        c, s = Split <axis = 2> (both, halves)
        qn = Neg (q0)
        qc = Mul (q0, c)
        qs = Mul (qn, s)
        q = Add (qc, qs)
        kn = Neg (k0)
        kc = Mul (k0, c)
        ks = Mul (kn, s)
        k = Add (kc, ks)
        kt = Transpose <perm = [0, 2, 1]> (k)
        sb = MatMul (q, kt)
        """
        + _ATTENDED,
        {**_PROJECTIONS, "table": (32, 32), "halves": np.array([16, 16])},
        _ALL_READ,
    ),
    "two embeddings that are multiplied with each other": Net(
        "int64[N] users, int64[N] items",
        "u = Gather (table, users) v = Gather (other, items) m = Mul (u, v) "
        "y = ReduceSum <keepdims = 0> (m, one)",
        {"table": (50, 16), "other": (40, 16), "one": np.array([1])},
        {"table": READ, "other": READ},
    ),
    "products of embeddings beside a product": Net(
        "int64[N] users, int64[N] items",
        "u = Gather (table, users) v = Gather (other, items) n = Neg (v) m = Mul (u, n) y = MatMul (m, w)",
        {"table": (50, 16), "other": (40, 16), "w": (16, 2)},
        {"table": READ, "other": READ, "w": READ},
    ),
    "a code book": Net(
        "float[N,16] x",
        "d = MatMul (x, wc) i = ArgMin <axis = 1, keepdims = 0> (d) e = Gather (codes, i) y = MatMul (e, w)",
        {"wc": (16, 20), "codes": (20, 16), "w": (16, 4)},
        {"wc": READ, "codes": READ, "w": READ},
    ),
    "a palette that the network's choice is looked up in": Net(
        "float[N,16] x",
        "d = MatMul (x, wc) i = ArgMax <axis = 1, keepdims = 0> (d) y = Gather (palette, i)",
        {"wc": (16, 20), "palette": (20, 3)},
        {"wc": READ},
    ),
    "anchors of the best scores": Net(
        "float[N,16] x",
        "d = MatMul (x, wc) v, i = TopK (d, two) p = Gather (anchors, i) y = Mul (p, size)",
        {"wc": (16, 20), "two": np.array([2]), "anchors": (20, 4), "size": (1,)},
        {"wc": READ},
    ),
    "weights whose rows each sample scales": Net(
        "float[N,5,16] x, float[N,16] style",
        "s = Unsqueeze (style, last) scaled = Mul (w, s) h = MatMul (x, scaled) y = MatMul (h, next)",
        {"w": (16, 8), "last": np.array([2]), "next": (8, 2)},
        {"w": SKIPPED, "next": READ},
        open_in=("no shapes",),
    ),
    "weights whose columns each sample divides": Net(
        "float[N,5,16] x, float[N,1,8] style",
        "s = Exp (style) scaled = Div (w, s) h = MatMul (x, scaled) y = MatMul (h, next)",
        {"w": (16, 8), "next": (8, 2)},
        {"w": SKIPPED, "next": READ},
        open_in=("no shapes",),
    ),
    "positions that are added to keys": Net(
        "float[N,6,16] x",
        "q = MatMul (x, wq) k = MatMul (x, wk) kp = Add (k, places) "
        "kt = Transpose <perm = [0, 2, 1]> (kp) sb = MatMul (q, kt)" + _ATTENDED,
        {**_PROJECTIONS, "places": (6, 16)},
        _ALL_READ,
    ),
    "weights that are stored flat, and given the shape that an activation has": Net(
        "float[N,16] x",
        """
        width = Shape <start = 1, end = 2> (x)
        sizes = Concat <axis = 0> (width, rest)
        w = Reshape (flat, sizes)
        h = MatMul (x, w)
        y = MatMul (h, last)
        """,
        {"flat": (128,), "rest": np.array([-1]), "last": (8, 2)},
        {"flat": READ, "last": READ},
        open_in=("no shapes",),
    ),
    "a flat token, one copy a sample": Net(
        "float[N,6,16] x",
        """
        count = Shape <start = 0, end = 1> (x)
        sizes = Concat <axis = 0> (count, rest)
        first = Expand (token, sizes)
        kt = Transpose <perm = [0, 2, 1]> (x)
        s = MatMul (first, kt)
        o = MatMul (s, x)
        y = MatMul (o, w)
        """,
        {"token": (16,), "rest": np.array([1, 16]), "w": (16, 4)},
        {"w": READ},
    ),
    "a modulated kernel": Net(
        "float[1,8,6,6] x, float[1,4] style",
        "s = MatMul (style, a) s5 = Reshape (s, to) k2 = Mul (k, s5) y = Conv (x, k2)",
        {"a": (4, 8), "to": np.array([1, 8, 1, 1]), "k": (6, 8, 3, 3)},
        {"a": READ, "k": SKIPPED},
    ),
    "a mixture of kernels": Net(
        "float[1,8,6,6] x, float[1,4] r",
        "p = Softmax (r) p5 = Reshape (p, to) m = Mul (k, p5) mixed = ReduceSum <keepdims = 0> (m, zero) "
        "y = Conv (x, mixed)",
        {"to": np.array([4, 1, 1, 1, 1]), "k": (4, 6, 8, 3, 3), "zero": np.array([0])},
        {"k": SKIPPED},
    ),
    "a mixture of kernels by a product": Net(
        "float[1,8,6,6] x, float[1,4] r",
        "p = Softmax (r) m = MatMul (p, k) mixed = Reshape (m, to) y = Conv (x, mixed)",
        {"to": np.array([6, 8, 3, 3]), "k": (4, 432)},
        {"k": READ},
    ),
    "filters before a filter bank": Net(
        "float[N,1,64] x",
        "c = Conv <strides = [4]> (x, filters) y = MatMul (c, bank)",
        {"filters": (8, 1, 8), "bank": (15, 4)},
        {"filters": READ, "bank": READ},
    ),
    "a projection cut by bounds that are computed from a size": Net(
        "float[N,6,16] x",
        """
        sizes = Shape (w)
        rows = Gather <axis = 0> (sizes, zero)
        width = Shape <start = 2, end = 3> (x)
        part = Slice (w, zeros, width, ones)
        y = MatMul (x, part)
        """,
        {"w": (16, 48), "zero": np.array(0), "zeros": np.array([0]), "ones": np.array([1])},
        {"w": READ},
        open_in=("no shapes",),
    ),
    "low-rank additions": Net(
        "float[N,16] x",
        "ba = MatMul (b, a) scaled = Mul (ba, alpha) sum = Add (w, scaled) y = MatMul (x, sum)",
        {"b": (16, 2), "a": (2, 8), "alpha": (1,), "w": (16, 8)},
        {"b": READ, "a": READ, "w": READ},
    ),
    "a weight divided by its norm, found by power iteration": Net(
        "float[N,16] x",
        "v1 = MatMul (w, v) norm = MatMul (u, v1) unit = Div (w, norm) y = MatMul (x, unit)",
        {"w": (16, 8), "u": (16,), "v": (8,)},
        {"w": READ},
    ),
    "three constants in one product": Net(
        "float[N,16] x",
        'w = Einsum <equation = "ij,jk,kl->il"> (a, b, c) y = MatMul (x, w)',
        {"a": (16, 2), "b": (2, 3), "c": (3, 8)},
        {"a": READ, "b": READ, "c": READ},
    ),
    "a memory that is attended to": Net(
        "float[N,6,16] x",
        "q = MatMul (x, wq) o = Attention <q_num_heads = 2, kv_num_heads = 2> (q, k, v) y = MatMul (o, wo)",
        {"wq": (16, 16), "k": (1, 5, 16), "v": (1, 5, 16), "wo": (16, 4)},
        {"wq": READ, "k": READ, "v": READ, "wo": READ},
    ),
    "a memory that is copied for each sample": Net(
        "float[N,6,16] x",
        """
        q = MatMul (x, wq)
        samples = Shape <start = 0, end = 1> (x)
        sizes = Concat <axis = 0> (samples, rest)
        k = Expand (k0, sizes)
        v = Expand (v0, sizes)
        y = Attention <q_num_heads = 2, kv_num_heads = 2> (q, k, v)
        """,
        {"wq": (16, 16), "k0": (1, 5, 16), "v0": (1, 5, 16), "rest": np.array([5, 16])},
        {"wq": READ, "k0": READ, "v0": READ},
    ),
    "latents that attend": Net(
        "float[N,6,16] x",
        """
        q = MatMul (latents, wq)
        k = MatMul (x, wk)
        v = MatMul (x, wv)
        y = Attention <q_num_heads = 2, kv_num_heads = 2> (q, k, v)
        """,
        {"latents": (1, 3, 16), "wq": (16, 16), "wk": (16, 16), "wv": (16, 16)},
        {"latents": READ, "wq": READ, "wk": READ, "wv": READ},
    ),
    "biases and positions in attention": Net(
        "float[N,1,16] x",
        """
        q0 = MatMul (x, wq)
        q = Add (q0, positions)
        k0 = MatMul (x, wk)
        k = Mul (k0, gains)
        v0 = MatMul (x, wv)
        v = Add (v0, bias)
        y = Attention <q_num_heads = 2, kv_num_heads = 2> (q, k, v, mask)
        """,
        {
            **dict.fromkeys(("wq", "wk", "wv"), (16, 16)),
            **dict.fromkeys(("positions", "gains"), (1, 1, 16)),
            "bias": (16,),
            "mask": (1, 2, 1, 1),
        },
        {"wq": READ, "wk": READ, "wv": READ},
    ),
    "a product of constants that is only added": Net(
        "float[N,6,16] x",
        "places = MatMul (a, b) p = Add (x, places) y = MatMul (p, w)",
        {"a": (6, 2), "b": (2, 16), "w": (16, 4)},
        {"b": SKIPPED, "w": READ},
    ),
}


def _found(net: Net, setting: str, folder: Path) -> dict[str, str]:
    inputs = net.inputs.replace("[N,", "[1,") if setting == "batch of 1" else net.inputs
    opset = 23 if "Attention" in net.nodes else 18
    text = f'<ir_version: 9, opset_import: ["": {opset}]> net ({inputs}) => (float y) {{ {net.nodes} }}'
    proto = parser.parse_model(text)
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    for name, held in net.held.items():
        array = held if isinstance(held, np.ndarray) else weights(*held)
        proto.graph.initializer.append(numpy_helper.from_array(array, name))
    if setting == "no shapes":
        for value in proto.graph.input:
            value.type.tensor_type.ClearField("shape")
    onnx.save(proto, folder / "net.onnx")
    loaded = load(folder / "net.onnx")
    chains = chains_of(loaded, Constants(loaded))
    return {
        leaf.name: SKIPPED if operand.reason else READ
        for operands in find_operands(chains).found.values()
        for operand in operands
        for leaf in chains["certain"].leaves(operand.value)
    }


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("name", NETS)
def test_weights_are_told_from_what_modulates(name: str, setting: str, tmp_path: Path) -> None:
    net = NETS[name]
    found = _found(net, setting, tmp_path)
    if setting in net.open_in:  # what cannot be told is skipped or found nowhere, nothing else is a weight
        assert found.keys() <= net.weights.keys()
        assert all(what in (net.weights[name], SKIPPED) for name, what in found.items())
    else:
        assert found == net.weights


def _lookups(how: str, count: int) -> ModelProto:
    held = {"t": weights(8, 4), "w": weights(4, 4), "one": np.array([1])}
    nodes = [node("Shape", "x", "n0", start=0, end=1), node("ArgMax", "x", "a0", axis=1, keepdims=0)]
    for number in range(count):
        index = {"one index": "a0", "a chain": f"a{number}", "sizes": f"n{number}"}[how]
        nodes += [
            node("Add", f"n{number} one", f"n{number + 1}"),
            node("Gather", f"t {index}", f"e{number}"),
            node("MatMul", f"e{number} w", f"y{number}"),
            node("ArgMax", f"e{number}", f"a{number + 1}", axis=1, keepdims=0),
        ]
    return model(nodes, held, {"x": ["N", 4]}, ["y0"])


@pytest.mark.parametrize("how", ["one index", "a chain", "sizes"])
def test_hundreds_of_lookups(how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is judged by what lies before and ahead of it, which is gathered once: no quadratic walk."""
    loaded = load(save(_lookups(how, 600), tmp_path))
    asked: list[Node] = []
    carriers = Spanning.carriers
    monkeypatch.setattr(Spanning, "carriers", lambda self, node: asked.append(node) or carriers(self, node))
    assert [layer.weight for layer in find_layers(loaded, Constants(loaded))] == ["t", "w"]
    assert len(asked) < 40 * len(loaded.nodes)


def test_a_lookup_one_entry_at_a_time_is_skipped(tmp_path: Path) -> None:
    """GatherElements takes single entries of a table: no rows, but no less weights."""
    nodes = [node("GatherElements", "table i", "e", axis=0), node("MatMul", "e w")]
    proto = model(nodes, {"table": weights(9, 5), "w": weights(5, 3)}, {"i": ("n", 5)})
    proto.graph.input[0].type.tensor_type.elem_type = 7
    path = save(proto, tmp_path)
    found = {item.weight: item for item in layers_of(path)}
    assert isinstance(found["w"], Layer)
    assert isinstance(found["table"], Skipped)
    assert (found["table"].parameters, "GatherElements" in found["table"].reason) == (45, True)
    report = audit(path)
    check_consistent(report)
    assert report.coverage.parameters_total == 60
    assert report.network.deep_graph_persistence.connectivity != "exact"


SIZES = [node("Shape", "x", "width", start=1), node("Concat", "width rest", "sizes", axis=0)]


@pytest.mark.parametrize("steps", ["Reshape", "Reshape Transpose", "Neg Reshape", "Identity Reshape Cast"])
def test_weights_that_are_stored_flat_are_read(steps: str, tmp_path: Path) -> None:
    """Known sizes of an activation say what shape they have: what is computed is what the runtime has."""
    flat = weights(16)
    nodes, value = list(SIZES), "flat"
    for number, step in enumerate(steps.split()):
        options = {"to": 1} if step == "Cast" else {}
        given = f"{value} sizes" if step == "Reshape" else value
        nodes.append(node(step, given, f"v{number}", **options))
        value = f"v{number}"
    proto = model(
        [*nodes, node("MatMul", f"x {value}")], {"flat": flat, "rest": np.array([-1])}, {"x": ("n", 4)}
    )
    path = save(proto, tmp_path)
    layer = only_layer(path)
    np.testing.assert_array_equal(layer.matrix(), run(proto, x=np.eye(4, dtype=np.float32)))
    assert (layer.weight, layer.parameters) == ("flat", 16)
    report = audit(path)
    check_consistent(report)
    assert report.coverage.parameters_analysed == 16


def _chosen_by_an_if() -> ModelProto:
    held = {"a": weights(24), "b": weights(24, seed=1), "to": np.array([4, 6])}
    bodies = [graph([node("Reshape", f"{name} to", f"{name}2")], {}, {}, [f"{name}2"]) for name in "ab"]
    nodes = [node("If", "which", "w", then_branch=bodies[0], else_branch=bodies[1]), node("MatMul", "x w")]
    proto = model(nodes, held, {"x": ("n", 4), "which": ()})
    proto.graph.input[1].type.tensor_type.elem_type = 9
    return proto


def _unpacked(*more: str) -> ModelProto:
    nodes = [node("vendor.Unpack", "a to", "w"), *(node(op, "w", "v") for op in more)]
    nodes.append(node("MatMul", f"x {'v' if more else 'w'}"))
    return model(nodes, {"a": np.arange(48, dtype=np.uint8), "to": np.array([4, 6])}, {"x": ("n", 4)})


@pytest.mark.parametrize(
    ("proto", "reason"),
    [
        (_chosen_by_an_if(), "changes with the input in If"),
        (_unpacked(), "goes through vendor.Unpack, which is not computed"),
        (_unpacked("Neg"), "goes through vendor.Unpack, which is not computed"),
    ],
    ids=["chosen by an If", "unpacked by a vendor's operation", "and negated"],
)
def test_flat_weights_that_cannot_be_computed_are_skipped(
    proto: ModelProto, reason: str, tmp_path: Path
) -> None:
    path = save(proto, tmp_path)
    found = only_skipped(path)
    assert (found.reason, found.parameters) == (reason, 48)
    report = audit(path)
    check_consistent(report)
    assert (report.coverage.parameters_total, report.coverage.parameters_analysed) == (48, 0)
