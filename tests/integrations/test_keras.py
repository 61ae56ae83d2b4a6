"""Weights mean what the layers do with them; the callback checks when asked to and logs what it saw."""

import numpy as np
import pytest

import onnxtop

pytestmark = [pytest.mark.integration("keras"), pytest.mark.filterwarnings("default")]


@pytest.fixture(autouse=True)
def _seeded():
    import keras

    keras.utils.set_random_seed(0)


def result(layer, x):
    import keras

    return np.asarray(keras.ops.convert_to_numpy(layer(np.asarray(x, np.float32)[None])))[0]


def blocks_of(layer, shape):
    import keras

    from onnxtop.integrations.keras import weights_of

    (blocks,) = weights_of(keras.Sequential([keras.Input(shape), layer])).values()
    return blocks


@pytest.mark.parametrize("groups", [1, 2])
def test_a_convolution_sums_over_what_comes_in_and_its_taps(groups):
    import keras

    layer = keras.layers.Conv2D(6, (3, 2), groups=groups, use_bias=False)
    x = np.random.default_rng(0).standard_normal((3, 2, 4))
    blocks = blocks_of(layer, x.shape)
    parts = np.split(x, groups, axis=-1)
    ours = [np.einsum("oiyx,yxi->o", block, part) for block, part in zip(blocks, parts, strict=True)]
    assert np.allclose(np.concatenate(ours), result(layer, x)[0, 0], atol=1e-5)


def test_a_depthwise_convolution_has_a_group_for_every_channel():
    import keras

    layer = keras.layers.DepthwiseConv2D((3, 2), depth_multiplier=2, use_bias=False)
    x = np.random.default_rng(0).standard_normal((3, 2, 4))
    blocks = blocks_of(layer, x.shape)
    ours = [np.einsum("oiyx,yxi->o", blocks[channel], x[..., [channel]]) for channel in range(4)]
    assert np.allclose(np.concatenate(ours), result(layer, x)[0, 0], atol=1e-5)


def test_a_transposed_convolution_spreads_what_comes_in_over_its_taps():
    import keras

    layer = keras.layers.Conv2DTranspose(6, (3, 2), use_bias=False)
    x = np.random.default_rng(0).standard_normal((1, 1, 4))
    (block,) = blocks_of(layer, x.shape)
    assert np.allclose(np.einsum("oiyx,i->yxo", block, x[0, 0]), result(layer, x), atol=1e-5)


def test_an_einsum_is_the_matrix_that_it_multiplies_by():
    import keras

    layer = keras.layers.EinsumDense("abc,cde->abde", output_shape=(None, 2, 3), bias_axes="de")
    x = np.random.default_rng(0).standard_normal((5, 4))
    (block,) = blocks_of(layer, x.shape)
    assert np.allclose((x @ block).reshape(5, 2, 3), result(layer, x), atol=1e-5)


def test_layers_inside_of_layers_stand_once_under_their_own_names():
    import keras

    from onnxtop.integrations.keras import weights_of

    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="deep")], name="inner")
    parts = [keras.Input((4,)), inner, keras.layers.BatchNormalization(), keras.layers.Dense(2, name="top")]
    outer = keras.Sequential(parts)
    found = {name: [block.shape for block in blocks] for name, blocks in weights_of(outer).items()}
    assert list(found.values()) == [[(4, 3)], [(3, 2)]]
    assert [name.rpartition("/")[2] for name in found] == ["deep", "top"]
    stopping = onnxtop.NeuralPersistenceStopping(measure="dgp")
    stopping.update(weights_of(outer))
    stack = [layer.get_weights()[0] for layer in (inner.layers[0], outer.layers[-1])]
    assert stopping.values == [onnxtop.deep_graph_persistence(stack).normalized]


def trained(stopping, epochs=3, **options):
    import keras

    from onnxtop.integrations.keras import KerasStopping

    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((40, 6)).astype(np.float32), rng.standard_normal((40, 1))
    network = keras.Sequential([keras.Input((6,)), keras.layers.Dense(5), keras.layers.Dense(1)])
    network.compile("sgd", "mse")
    callbacks = [KerasStopping(stopping, **options)]
    history = network.fit(x, y, batch_size=10, epochs=epochs, verbose=0, callbacks=callbacks)
    return network, history.history


def test_values_are_those_of_the_weights_and_are_logged():
    stopping = onnxtop.NeuralPersistenceStopping(patience=9)
    network, history = trained(stopping, layers=True)
    assert history["np/mean"] == stopping.values
    matrices = {str(n): layer.get_weights()[0] for n, layer in enumerate(network.layers)}
    assert stopping.values[-1] == onnxtop.neural_persistence(matrices).mean_normalized
    assert sum(name.startswith("np/") for name in history) == 3


def test_checks_by_step_and_begins_anew_with_every_fit():
    stopping = onnxtop.NeuralPersistenceStopping(patience=99)
    for _ in range(2):
        _, history = trained(stopping, every=3, unit="step")
        assert stopping.rule.checks == 4  # 3 epochs of 4 batches
        assert set(history) == {"loss", "np/mean"}


def test_stops_in_the_middle_of_an_epoch():
    import keras

    stopping = onnxtop.NeuralPersistenceStopping(patience=2, min_delta=9.0)
    network, history = trained(stopping, unit="step")
    assert (stopping.rule.stopped_at, len(history["loss"])) == (1, 1)
    assert int(keras.ops.convert_to_numpy(network.optimizer.iterations)) == 2
