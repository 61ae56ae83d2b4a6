"""The weights of a module are those that its exported file has, and mean what the layer does with them."""

import numpy as np
import pytest

import onnxtop

pytestmark = [pytest.mark.integration("torch"), pytest.mark.filterwarnings("default")]


@pytest.fixture(autouse=True)
def _seeded():
    import torch

    torch.manual_seed(0)


def networks():
    from torch import nn

    dense = nn.Sequential(nn.Linear(12, 9), nn.ReLU(), nn.Linear(9, 7), nn.Tanh(), nn.Linear(7, 5))
    # strided, so that the exporter folds no batch norm and every layer stays what it is
    images = nn.Sequential(
        nn.Conv2d(4, 6, 3, groups=2, stride=2), nn.ReLU(), nn.ConvTranspose2d(6, 8, 2, groups=2), nn.ReLU(),
        nn.Conv2d(8, 3, (2, 1)), nn.Flatten(), nn.Linear(3 * 3 * 4, 5),
    )  # fmt: skip
    return {"dense": (dense, (2, 12)), "images": (images, (2, 4, 7, 7))}


@pytest.mark.parametrize("name", ["dense", "images"])
def test_figures_are_those_of_the_exported_file(name, tmp_path):
    import torch

    from onnxtop.integrations.torch import weights_of

    network, shape = networks()[name]
    path = tmp_path / "model.onnx"
    torch.onnx.export(network, (torch.randn(shape),), str(path), dynamo=False)
    exported, in_memory = onnxtop.NeuralPersistenceStopping(), onnxtop.NeuralPersistenceStopping()
    exported.update(path)
    in_memory.update(weights_of(network))
    assert in_memory.values == pytest.approx(exported.values, rel=1e-12)
    layers = [sorted(value for key, value in each.metrics.items() if key not in ("np/mean", "dgp"))
              for each in (exported, in_memory)]  # fmt: skip
    assert layers[0] == pytest.approx(layers[1], rel=1e-12)


def test_deep_graph_persistence_is_that_of_the_exported_file(tmp_path):
    import torch

    from onnxtop.integrations.torch import weights_of

    network, shape = networks()["dense"]
    path = tmp_path / "model.onnx"
    torch.onnx.export(network, (torch.randn(shape),), str(path), dynamo=False)
    both = []
    for weights in (path, weights_of(network), weights_of(network.state_dict())):
        stopping = onnxtop.NeuralPersistenceStopping(measure="dgp")
        stopping.update(weights)
        both += stopping.values
    assert both == pytest.approx([both[0]] * 3, rel=1e-9)


def test_kernels_do_what_the_layers_do():
    """A patch as large as the kernel has one output position: the sum over (n_in, taps) and nothing else."""
    import torch

    from onnxtop.integrations.torch import weights_of

    layer = torch.nn.Conv2d(4, 6, (3, 2), groups=2, bias=False)
    x = torch.randn(1, 4, 3, 2)
    (blocks,) = weights_of(layer).values()
    ours = [
        np.einsum("oiyx,iyx->o", block, part)
        for block, part in zip(blocks, np.split(x[0].numpy(), 2), strict=True)
    ]
    assert np.allclose(np.concatenate(ours), layer(x).detach().numpy().ravel(), atol=1e-6)
    layer = torch.nn.ConvTranspose2d(4, 6, (3, 2), groups=2, bias=False)
    x = torch.randn(1, 4, 1, 1)
    (blocks,) = weights_of(layer).values()
    parts = np.split(x[0, :, 0, 0].numpy(), 2)
    ours = [np.einsum("oiyx,i->oyx", block, part) for block, part in zip(blocks, parts, strict=True)]
    assert np.allclose(np.concatenate(ours), layer(x).detach().numpy()[0], atol=1e-6)


def test_what_a_module_tells_beyond_its_state_dict():
    import torch
    from torch import nn

    from onnxtop.integrations.torch import weights_of

    class Language(nn.Module):
        def __init__(self):
            super().__init__()
            self.table, self.core, self.head = nn.Embedding(11, 4), nn.LSTM(4, 3), nn.Linear(4, 11)
            self.head.weight = self.table.weight
            self.normed = torch.nn.utils.parametrizations.weight_norm(nn.Linear(4, 5))
            self.position = nn.Parameter(torch.randn(1, 6, 4))
            self.register_buffer("places", torch.arange(12).reshape(3, 4))

    network = Language()
    found = {name: [block.shape for block in blocks] for name, blocks in weights_of(network).items()}
    assert found == {
        "table": [(11, 4)],  # tied to the head: once
        "core.weight_ih_l0": [(4, 12)],
        "core.weight_hh_l0": [(3, 12)],
        "normed": [(4, 5)],
    }
    assert np.array_equal(weights_of(network)["normed"][0], network.normed.weight.detach().numpy().T)
    assert set(weights_of(network.state_dict())) > {"table", "core.weight_ih_l0"}


def test_narrow_floats_and_a_plain_state_dict():
    import torch

    from onnxtop.integrations.torch import weights_of

    network = torch.nn.Linear(6, 4).to(torch.bfloat16)
    (blocks,) = weights_of(network).values()
    assert np.array_equal(blocks[0], network.weight.detach().float().numpy().T)
    stopping = onnxtop.NeuralPersistenceStopping()
    with pytest.raises(onnxtop.UsageError, match=r"onnxtop\.integrations reads the weights"):
        stopping.update(network.state_dict())
    plain = network.float().state_dict()
    stopping.update(plain)
    assert stopping.values == [onnxtop.layer_persistence(plain["weight"].numpy()).normalized]


def test_nothing_is_copied():
    import torch

    from onnxtop.integrations.torch import weights_of

    layer = torch.nn.Linear(3, 2)
    ((block,),) = weights_of(layer).values()
    assert np.shares_memory(block, layer.weight.detach().numpy())
