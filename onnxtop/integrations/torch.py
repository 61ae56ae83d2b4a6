"""PyTorch: the weights of a module, or of its ``state_dict``, as they lie in memory; nothing is exported."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxtop.errors import MissingLibraryError

try:
    import torch
    from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
except ImportError:
    raise MissingLibraryError.of("PyTorch", "torch") from None

Blocks = list[NDArray[Any]]


def weights_of(network: Any) -> dict[str, Blocks]:
    """Return the layers of a network, in the order in which it holds them.

    Parameters
    ----------
    network
        A ``torch.nn.Module``, or a ``state_dict``. A module tells more: which convolutions are transposed
        or have groups, which tables are embeddings, and which weights are computed (``parametrize``). In a
        ``state_dict`` whatever has two dimensions is taken for (n_out, n_in), and what has more for the
        kernel of a convolution.

    Returns
    -------
    dict
        Matrices (n_in, n_out) and kernels (n_out, n_in, taps) by the names of the layers, one block a group:
        what `onnxtop.NeuralPersistenceStopping.update` takes. A weight that several layers share stands
        once. On the processor nothing is copied, but for bfloat16 and narrower floats.
    """
    found: dict[str, Blocks] = {}
    seen: set[tuple[Any, ...]] = set()
    for name, tensor, module in _tensors(network):
        place = (tensor.data_ptr(), tuple(tensor.shape))
        if tensor.is_floating_point() and tensor.ndim > 1 and place not in seen:
            seen.add(place)
            if blocks := _blocks(_array(tensor), module):
                found[name.removesuffix(".weight")] = blocks
    return found


def _tensors(network: Any) -> Iterator[tuple[str, Any, Any]]:
    """Give names, tensors, and the modules that they are of, None where that is not known."""
    if isinstance(network, Mapping):
        yield from ((name, tensor, None) for name, tensor in network.items() if torch.is_tensor(tensor))
        return
    for prefix, module in network.named_modules():
        if "parametrizations" in prefix.split("."):
            continue
        computed = getattr(module, "parametrizations", {})
        names = [*computed, *(name for name, _ in module.named_parameters(recurse=False))]
        for name in names:
            yield ".".join(filter(None, (prefix, name))), getattr(module, name), module


def _array(tensor: Any) -> NDArray[Any]:
    tensor = tensor.detach().cpu()
    plain = tensor.dtype in (torch.float16, torch.float32, torch.float64)
    array: NDArray[Any] = (tensor if plain else tensor.float()).numpy()
    return array


def _blocks(array: NDArray[Any], module: Any) -> Blocks:
    """Turn a weight the way we want it, by what its module does with it."""
    if module is None:
        return [array.T if array.ndim == 2 else array]
    if isinstance(module, _ConvTransposeNd):  # (n_in, n_out of a group, taps)
        return [np.swapaxes(group, 0, 1) for group in np.split(array, module.groups)]
    if isinstance(module, _ConvNd):
        return np.split(array, module.groups)
    if array.ndim != 2:
        return []  # no layer that we know: a position embedding, a class token
    rows_are_inputs = isinstance(module, torch.nn.Embedding | torch.nn.EmbeddingBag)
    return [array if rows_are_inputs or type(module).__name__ == "Conv1D" else array.T]  # GPT-2's Conv1D
