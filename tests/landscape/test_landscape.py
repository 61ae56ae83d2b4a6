"""Loss barcodes of models, and the search for paths on functions whose passes are known."""

import itertools
import json
from pathlib import Path
from threading import Event

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import onnxtop
from onnxtop.errors import UsageError
from onnxtop.landscape import story
from onnxtop.landscape.options import BarcodeOptions, Budget, PathOptions
from onnxtop.landscape.paths import LossPath, find_path
from onnxtop.landscape.search import Found, barcode_of, connect, next_pairs
from onnxtop.landscape.story import loss_barcode
from onnxtop.options import asked
from tests.known_landscapes import FUNCTIONS, MINIMA, TRUTH, counted_gradient, ordered
from tests.models import mlp, model, node, save, weights

SAMPLES = Path(__file__).parents[2] / "sample_models"
FIVE = sorted(map(str, (SAMPLES / "minima").glob("*.onnx")))
QUICK = {"gradients": 54, "refine": 30, "jobs": 1}
PORTION = {**QUICK, "polish": 3}


@pytest.fixture(scope="module")
def digits():
    with np.load(SAMPLES / "digits.npz") as data:
        return dict(data)


@pytest.fixture(scope="module")
def few(digits):
    """A landscape of the five sample minima that cost little."""
    return loss_barcode(FIVE, digits, **QUICK)


@pytest.fixture(scope="module")
def portion(digits):
    """What shows how a search goes, where its heights are no matter."""
    return {**digits, "x": digits["x"][:200], "labels": digits["labels"][:200]}


@pytest.fixture(scope="module")
def whole(portion):
    """The search on a portion of the samples that nothing disturbs."""
    return loss_barcode(FIVE, portion, **PORTION)


def plain(landscape):
    return json.dumps(landscape.to_dict(), allow_nan=False)


class TestSampleMinima:
    def test_bars(self, few):
        assert [minimum.loss for minimum in few.minima] == sorted(minimum.loss for minimum in few.minima)
        lowest, *others = few.minima
        assert (lowest.death, lowest.length, lowest.partner) == (None, None, None)
        for minimum in others:
            assert minimum.death == pytest.approx(minimum.loss + minimum.length)
            assert minimum.length > 0
            assert minimum.partner in FIVE
            assert minimum.accuracy > 0.75
            assert 0.75 < minimum.test_accuracy < 1
            assert (minimum.verdict, minimum.bound, minimum.moved) == ("minimum", "upper", 0)
        assert few.score.mean == pytest.approx(np.mean([minimum.length for minimum in others]))
        assert few.score.n_minima == 5
        assert few.reference_loss == pytest.approx(np.log(10))
        assert few.score.scale_free == pytest.approx(few.score.mean / (few.reference_loss - lowest.loss))
        assert (few.aligned, few.units, few.parameters, few.samples) == (True, 3, 91, 1297)
        assert few.complete

    def test_deaths_are_heights_of_paths_in_the_tree(self, few):
        heights = sorted(item.height for item in few.passes if item.in_tree)
        assert heights == sorted(minimum.death for minimum in few.minima[1:])
        for item in few.passes:
            assert item.height == max(item.losses) <= item.straight

    def test_order_of_the_files_is_irrelevant(self, whole, portion):
        again = loss_barcode([FIVE[i] for i in (3, 0, 4, 1, 2)], portion, **PORTION)
        assert plain(again) == plain(whole)

    def test_number_of_jobs_is_irrelevant(self, whole, portion):
        again = loss_barcode(FIVE, portion, **{**PORTION, "jobs": 2})
        assert plain(again) == plain(whole)

    def test_tree_is_never_above_direct_pairs(self, portion):
        direct = loss_barcode(FIVE[:3], portion, pairs="direct", **PORTION)
        all_pairs = loss_barcode(FIVE[:3], portion, pairs="all", **PORTION)
        assert len(direct.passes) == len(all_pairs.passes) == 2 + 3
        assert all_pairs.score.mean <= direct.score.mean == all_pairs.score.direct_mean

    def test_more_paths_never_lengthen_a_bar(self, whole, portion):
        all_pairs = loss_barcode(FIVE, portion, pairs="all", **PORTION)
        lines = loss_barcode(FIVE, portion, finder="line", **PORTION)
        assert len(all_pairs.passes) > len(whole.passes) > len(lines.passes)
        for one, two, three in zip(all_pairs.minima[1:], whole.minima[1:], lines.minima[1:], strict=True):
            assert one.length <= two.length <= three.length

    def test_alignment_only_helps_the_line(self, portion):
        lines = [
            loss_barcode(FIVE, portion, finder="line", pairs="all", align=align, polish=3, jobs=1)
            for align in (True, False)
        ]
        assert lines[0].score.mean < lines[1].score.mean
        assert [landscape.aligned for landscape in lines] == [True, False]

    def test_nothing_to_align_is_noted(self, digits, tmp_path):
        path = save(model([node("Gemm", "x w")], {"w": weights(64, 10)}, {"x": ["n", 64]}), tmp_path)
        found = loss_barcode(path, digits, minima=1, epochs=1, polish=0, finder="line", jobs=1)
        assert not found.aligned
        assert "alignment: found no hidden units that may be renumbered" in found.notes

    def test_read_from_disk(self, tmp_path, whole, portion):
        path = tmp_path / "digits.npz"
        np.savez(path, **portion)
        assert plain(onnxtop.loss_barcode(FIVE, path, **PORTION)) == plain(whole)


class TestCopies:
    @pytest.fixture
    def copy(self, tmp_path):
        """The first sample minimum with its units permuted and signs flipped."""
        proto = onnx.load(FIVE[0])
        arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
        order, signs = np.array([2, 0, 1]), np.array([-1, 1, -1], np.float32)
        weight, bias, output = "hidden.weight", "hidden.bias", "output.weight"
        arrays[weight] = arrays[weight][order] * signs[:, None]
        arrays[bias], arrays[output] = arrays[bias][order] * signs, arrays[output][:, order] * signs
        for tensor in proto.graph.initializer:
            tensor.CopyFrom(numpy_helper.from_array(arrays[tensor.name], tensor.name))
        path = tmp_path / "copy.onnx"
        onnx.save(proto, path)
        return str(path)

    def test_length_zero_with_alignment(self, copy, digits):
        aligned = loss_barcode([FIVE[0], copy], digits, **QUICK)
        assert aligned.minima[1].length < 1e-6
        assert any("is the same network" in note and "renumbered" in note for note in aligned.notes)
        apart = loss_barcode([FIVE[0], copy], digits, align=False, finder="line", jobs=1)
        assert apart.minima[1].length > 0.1

    def test_one_file_twice_under_two_names(self, tmp_path, digits):
        twin = tmp_path / "twin.onnx"
        twin.write_bytes(Path(FIVE[0]).read_bytes())
        found = loss_barcode([FIVE[0], str(twin)], digits, align=False, **QUICK)
        assert found.minima[1].length == 0
        assert any("is the same network" in note for note in found.notes)

    def test_exporters(self, digits):
        names = ("torch_dynamo", "tensorflow", "sklearn")
        files = [SAMPLES / f"mlp_{name}.onnx" for name in names]
        found = loss_barcode(files, digits, finder="line", polish=0, jobs=1)
        assert found.score.longest < 1e-6
        assert sum("is the same network" in note for note in found.notes) == 2


@pytest.fixture(scope="module")
def regression(tmp_path_factory):
    """Softmax regression on overlapping clouds: a convex loss."""
    folder = tmp_path_factory.mktemp("convex")
    path = save(
        model([node("Gemm", "x w b")], {"w": weights(4, 3), "b": weights(3)}, {"x": ["n", 4]}), folder
    )
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 300)
    x = rng.standard_normal((300, 4)) + np.eye(3, 4)[labels]
    return str(path), {"x": x.astype(np.float32), "labels": labels}


class TestTraining:
    @pytest.mark.parametrize("finder", ["neb", "line"])
    def test_convex(self, regression, finder):
        path, data = regression
        found = loss_barcode(path, data, minima=4, optimiser="lbfgs", finder=finder, **QUICK)
        assert found.score.n_minima == 5
        assert found.score.longest < 1e-3
        assert all(minimum.verdict == "minimum" for minimum in found.minima)
        given = next(minimum for minimum in found.minima if minimum.name == path)
        assert given.given_loss > given.loss + 0.1  # the weights in the file are no minimum
        assert given.moved > 0.1

    def test_seeded(self, regression):
        path, data = regression
        options = {"minima": 2, "epochs": 2, "polish": 0, "finder": "line", "jobs": 1}
        runs = [loss_barcode(path, data, seed=seed, **options) for seed in (1, 1, 2)]
        assert plain(runs[0]) == plain(runs[1])
        assert {m.name for m in runs[0].minima} == {path, "seed 1", "seed 2"}
        assert {m.loss for m in runs[0].minima} != {m.loss for m in runs[2].minima}

    def test_perturbed(self, regression):
        path, data = regression
        options = {"optimiser": "lbfgs", "epochs": 1, "polish": 0, "finder": "line", "jobs": 1}
        near, far = (
            loss_barcode(path, data, minima=1, start="perturbed", perturbation=size, **options)
            for size in (1e-6, 5.0)
        )
        losses = [{m.name: m.loss for m in found.minima} for found in (near, far)]
        assert losses[0]["seed 0"] < losses[0][path]
        assert losses[0]["seed 0"] != losses[1]["seed 0"]

    def test_curvature(self, regression):
        path, data = regression
        found = loss_barcode(path, data, minima=1, optimiser="lbfgs", finder="line", curvature=True, jobs=1)
        assert found.minima[0].curvature == pytest.approx(0, abs=1e-3)

    def test_mean_squared_error(self, tmp_path):
        path = save(mlp(3, 5, 1), tmp_path)
        rng = np.random.default_rng(0)
        x = rng.standard_normal((50, 3)).astype(np.float32)
        target = np.sin(x[:, :1])
        found = loss_barcode(str(path), {"x": x, "target": target}, minima=2, epochs=20, polish=200, **QUICK)
        assert found.loss == "mse"
        assert found.reference_loss == pytest.approx(float(target.var()), rel=1e-5)
        assert found.minima[0].accuracy is None

    def test_two_classes_in_one_output(self, tmp_path):
        path = save(mlp(3, 5, 1), tmp_path)
        x = np.random.default_rng(0).standard_normal((60, 3)).astype(np.float32)
        labels = (x[:, 0] > 0).astype(np.int64)
        data = {"x": x[:40], "labels": labels[:40], "x_test": x[40:], "labels_test": labels[40:]}
        found = loss_barcode(str(path), data, minima=2, epochs=20, finder="line", jobs=1)
        assert found.loss == "binary"
        assert found.reference_loss == pytest.approx(np.log(2))
        assert found.minima[0].accuracy > 0.7
        assert 0.5 < found.minima[0].test_accuracy <= 1


class TestBadInput:
    def test_one_model(self, digits):
        with pytest.raises(UsageError, match=r"found 1 and none to train: .*--minima"):
            loss_barcode(FIVE[0], digits)

    def test_another_architecture(self, digits):
        with pytest.raises(
            UsageError, match=r"difference at parameter 1: 'hidden.weight' of shape 3 x 16 .*100 x 64"
        ):
            loss_barcode([FIVE[0], SAMPLES / "mlp_torch_legacy.onnx"], digits)

    def test_more_layers(self, digits, tmp_path):
        paths = [str(save(mlp(*sizes), tmp_path, f"{len(sizes)}.onnx")) for sizes in ((64, 10), (64, 10, 10))]
        with pytest.raises(
            UsageError, match=r"found 2 parameter tensors in 2\.onnx and 4 in 3\.onnx: 'fc2.weight'"
        ):
            loss_barcode(paths, digits)

    def test_another_activation(self, digits, tmp_path):
        proto = mlp(64, 8, 10)
        paths = [save(proto, tmp_path, "one.onnx")]
        next(item for item in proto.graph.node if item.op_type == "Relu").op_type = "Tanh"
        paths.append(save(proto, tmp_path, "two.onnx"))
        with pytest.raises(UsageError, match="node 2 is Relu and Tanh"):
            loss_barcode(paths, digits)

    def test_budget_too_small(self, portion):
        found = loss_barcode(FIVE[:3], portion, budget=30, polish=3, jobs=1)
        assert not found.complete
        assert {item.finder for item in found.passes} == {"line"}
        assert any("too few for one path (36 at least): straight lines only" in note for note in found.notes)
        assert found.score.n_bars == 2
        found = loss_barcode(FIVE[:3], portion, budget=60, polish=3, jobs=1)
        assert not found.complete
        assert 0 < found.gradients <= 60

    def test_budget_in_seconds(self, digits):
        found = loss_barcode(FIVE[:2], digits, budget="0s", jobs=1)
        assert {item.finder for item in found.passes} == {"line"}

    @pytest.mark.parametrize("budget", ["much", "-1", "3 parsecs", "nan"])
    def test_budget_refused(self, digits, budget):
        with pytest.raises(UsageError, match="wanted a budget like"):
            loss_barcode(FIVE, digits, budget=budget)

    def test_unknown_option(self, digits):
        with pytest.raises(UsageError, match="no option 'colour'"):
            loss_barcode(FIVE, digits, colour="red")
        for wrong in ({"minima": -1}, {"jobs": 0}, {"start": "over"}, {"pairs": "some"}):
            with pytest.raises(UsageError, match="wanted"):
                loss_barcode(FIVE, digits, **wrong)

    def test_a_minimum_that_is_not_finite(self, digits, tmp_path):
        proto = onnx.load(FIVE[0])
        tensor = next(each for each in proto.graph.initializer if each.name == "hidden.weight")
        tensor.CopyFrom(numpy_helper.from_array(np.full((3, 16), 3e38, np.float32), tensor.name))
        tensor = next(each for each in proto.graph.initializer if each.name == "output.weight")
        tensor.CopyFrom(numpy_helper.from_array(np.full((10, 3), np.inf, np.float32), tensor.name))
        onnx.save(proto, tmp_path / "broken.onnx")
        with pytest.raises(UsageError):
            loss_barcode([FIVE[0], tmp_path / "broken.onnx"], digits)


class TestResume:
    def test_interrupt_and_resume(self, tmp_path, whole, portion):
        state = tmp_path / "state.npz"
        seen = []

        def interrupting(what, done, total):
            seen.append(what)
            if what.startswith("neb"):
                raise KeyboardInterrupt

        cut = loss_barcode(FIVE, portion, state=state, progress=interrupting, **PORTION)
        assert not cut.complete
        assert "interrupted: what was found until then" in cut.notes
        assert 4 < len(cut.passes) < len(whole.passes)
        assert cut.score.mean >= whole.score.mean
        seen.clear()
        resumed = loss_barcode(
            FIVE, portion, state=state, progress=lambda *step: seen.append(step[0]), **PORTION
        )
        assert plain(resumed) == plain(whole)
        assert not any(what.startswith("polished") for what in seen)
        again = loss_barcode(FIVE, portion, state=state, **PORTION)
        assert plain(again) == plain(whole)

    def test_trained_minima_are_kept(self, tmp_path, digits):
        options = {
            "minima": 1,
            "epochs": 1,
            "polish": 0,
            "finder": "line",
            "jobs": 1,
            "state": tmp_path / "state.npz",
        }
        first = loss_barcode(FIVE[0], digits, **options)
        told = []
        second = loss_barcode(FIVE[0], digits, **options, progress=lambda *step: told.append(step[0]))
        assert plain(first) == plain(second)
        assert not any("trained" in what for what in told)

    def test_state_of_another_run(self, tmp_path, digits):
        state = tmp_path / "state"
        loss_barcode(FIVE[:2], digits, finder="line", state=state, jobs=1)
        before = state.read_bytes()
        with pytest.raises(UsageError, match="of another run"):
            loss_barcode(FIVE[:2], digits, finder="line", seed=1, state=state, jobs=1)
        assert state.read_bytes() == before

    def test_progress_ends_at_its_total(self, portion):
        steps = []
        loss_barcode(FIVE[:3], portion, progress=lambda *step: steps.append(step), **PORTION)
        assert [done for _, done, _ in steps] == list(range(1, len(steps) + 1))
        assert all(done <= total for _, done, total in steps)


class TestSearch:
    def known(self, name, plan, **extra):
        function = FUNCTIONS[name]
        gradient = counted_gradient(function)
        minima = sorted((np.array(start, float) for start in MINIMA[name]), key=lambda p: float(function(*p)))
        losses = [float(function(*point)) for point in minima]

        def search(i, j, options, meter):
            return find_path(lambda p: float(function(*p)), gradient, minima[i], minima[j], options, meter)

        def distance(i, j):
            return float(np.linalg.norm(minima[i] - minima[j]))

        return losses, connect(losses, distance, search, plan, **extra)

    def test_tree_needs_fewer_paths(self):
        plan = BarcodeOptions(path=PathOptions(gradients=1000), jobs=1)
        losses, (found, notes) = self.known("himmelblau", plan)
        barcode = onnxtop.merge_tree_barcode(losses, [item.row for item in found])
        truth = np.array(TRUTH["functions"]["himmelblau"]["finite"])
        np.testing.assert_allclose(ordered(barcode.bars)[:, 1], ordered(truth)[:, 1], atol=0.5)
        assert notes == []

    def test_interrupted_from_outside(self):
        stop = Event()
        stop.set()
        _, (found, _) = self.known("himmelblau", BarcodeOptions(jobs=1), stop=stop)
        assert {item.finder for item in found} == {"line"}

    @pytest.mark.parametrize("pairs", ["tree", "direct"])
    @pytest.mark.parametrize("gradients", [0, 500])
    def test_minima_that_are_there_twice_are_joined_to_each_other_first(self, gradients, pairs):
        """Two of five minima stand twice, and the budget is spent on longer bars."""
        places = [0.0, 1.0, 2.0, 3.0, 4.0, 1.0, 3.0]
        losses = [0.0, 1.0, 1.5, 1.7, 1.9, 1.0, 1.7]
        order = sorted(range(7), key=losses.__getitem__)
        at, heights = [places[number] for number in order], [losses[number] for number in order]

        def search(i, j, options, meter):
            top = max(heights[i], heights[j]) + 5 * (at[i] != at[j])
            path = np.array([[at[i]], [at[j]]])
            spent = 0 if options.finder == "line" else options.gradients
            return LossPath(path, np.array([0.0, 1.0]), np.full(2, top), gradients=spent)

        def distance(i, j):
            return abs(at[i] - at[j])

        plan = BarcodeOptions(budget=gradients, pairs=pairs, jobs=1)
        found, _ = connect(heights, distance, search, plan)
        lengths = sorted(barcode_of(heights, found, pairs).lengths.tolist())
        assert lengths == pytest.approx([0.0, 0.0, 5.0, 5.0, 5.0, 5.0])

    def test_order_of_pairs(self):
        def tried(i, j, height, finder="neb"):
            return Found(i, j, finder, LossPath(np.zeros((2, 1)), np.array([0.0, 1.0]), np.full(2, height)))

        def distance(i, j):
            return abs(i - j)

        losses, plan = [0.0, 1.0, 2.0, 3.0], BarcodeOptions(jobs=1)
        lines = [tried(0, other, 9.0, "line") for other in (1, 2, 3)]
        assert next_pairs(losses, distance, lines, plan) == [(0, 1), (0, 2), (0, 3)]
        found = [*lines, tried(0, 1, 8.0), tried(0, 2, 4.0), tried(0, 3, 5.0)]
        assert next_pairs(losses, distance, found, plan) == [(1, 2), (1, 3), (2, 3)]
        found = [*lines, tried(0, 1, 1.0), tried(0, 2, 2.0), tried(0, 3, 3.0)]
        assert next_pairs(losses, distance, found, plan) == []
        every = [pair for pair in itertools.combinations(range(4), 2) if pair[0]]
        assert next_pairs(losses, distance, found, BarcodeOptions(pairs="all")) == every

    def test_budget(self):
        assert Budget.read(None) == Budget()
        assert Budget.read("1.5h").seconds == 5400
        assert Budget.read(500).gradients == 500


def test_options_by_name():
    options = asked(BarcodeOptions, None, {"minima": 3, "finder": "line", "l2": 0.5, "epochs": 7})
    assert (options.minima, options.path.finder, options.probe.l2, options.training.epochs) == (
        3,
        "line",
        0.5,
        7,
    )


def test_starts_that_lead_to_one_minimum_have_bars_of_length_0():
    """Wells in a row, each a little higher than the one before; three begin in each, one of them at rest."""

    def wells(x):
        tilt = 0.1 * float(x[0])
        return float(np.cos(2 * np.pi * x[0])) + tilt, -2 * np.pi * np.sin(2 * np.pi * x) + 0.1

    rest = 0.5 - np.arcsin(0.1 / (2 * np.pi)) / (2 * np.pi)  # where the slope is 0
    starts = {f"{well}{part}": np.array([well + rest + part / 1e5]) for well in range(3) for part in range(3)}
    found = onnxtop.function_barcode(wells, starts, jobs=1, finder="line")
    assert len({round(each.loss, 3) for each in found.minima}) == 3
    lengths = sorted(each.length for each in found.minima if each.length is not None)
    assert lengths[:6] == pytest.approx([0.0] * 6, abs=1e-6)
    assert min(lengths[6:]) > 1.9


def test_what_a_function_has_no_use_for_is_said():
    bowl = lambda x: (float(x @ x), 2 * x)  # noqa: E731
    starts = {"one": np.zeros(1), "two": np.zeros(1)}
    found = onnxtop.function_barcode(bowl, starts, minima=3, l2=0.1, jobs=1)
    assert found.notes == ("what was asked of minima, probe is of no use for a function",)
    assert (found.l2, found.minima[1].length) == (0, 0)
    assert onnxtop.function_barcode(bowl, starts, jobs=1).notes == ()


def test_what_an_interrupt_cut_short_is_looked_for_again(tmp_path, portion):
    """A search that ends at its next step has a path that is worse than it would be."""
    state = tmp_path / "state.npz"
    whole = loss_barcode(FIVE[:2], portion, **PORTION)
    real = story.find_path

    def cut(loss, gradient, start, end, chosen, meter):
        if chosen.finder == "neb":
            run[0].stop.set()
        return real(loss, gradient, start, end, chosen, meter)

    run = []
    begin = story._Run.begin.__func__
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(story._Run, "begin", classmethod(lambda cls, *a: run.append(begin(cls, *a)) or run[0]))
        patch.setattr(story, "find_path", cut)
        assert not loss_barcode(FIVE[:2], portion, state=state, **PORTION).complete
    assert plain(loss_barcode(FIVE[:2], portion, state=state, **PORTION)) == plain(whole)
