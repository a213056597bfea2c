"""A small convolutional network in NumPy: the few layer kinds that the models are made of.

All work is matrix products by BLAS, so that a model runs wherever NumPy does, starts at once,
and keeps pace with a deep-learning framework on a processor.
"""

from __future__ import annotations

import threading
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from microscope_quality.errors import ModelError

Float32Array = NDArray[np.float32]
Shape = Tuple[int, ...]
Weights = Mapping[str, NDArray[Any]]

# A layer on images is prepared for a number of patches and the array that takes its result; it
# gives the array that takes its input, and the function that computes the one from the other.
# So a layer writes straight into the next one's padded input, and no chunk allocates memory,
# which would cost more than the products.
Prepare = Callable[[int, Float32Array], Tuple[Float32Array, Callable[[], None]]]
Activation = Callable[[Float32Array, Float32Array], None]

# Work space of a chunk of patches in its greediest layer. Larger chunks fall out of the cache;
# smaller ones make more products, at each of which BLAS threads wait for each other, which takes
# long on a busy machine.
CHUNK_BYTES = 8_000_000


class Network:
    """A feed-forward network of fixed layers, for square one-channel patches.

    It may be called from several threads; each keeps work space of its own, some 10 MB.

    Parameters
    ----------
    layers : sequence of mappings
        In order, each one of::

            {"kind": "conv2d", "name": str, "filters": int, "size": int, "stride": int,
             "activation": "relu" | "linear" | "softmax"}     zero padding, TensorFlow's 'same'
            {"kind": "max_pool", "size": int}                 stride = size, no padding
            {"kind": "flatten"}                               row, column, channel
            {"kind": "mean_max_pool"}                         means, then maxima, over the patch
            {"kind": "dense", "name": str, "units": int, "activation": as above}

    weights : mapping of str to ndarray
        ``name/kernel`` and ``name/bias`` for each conv2d (height, width, in, out) and dense
        (in, out) layer.
    patch_size : int
        Side of the patches in pixels.

    Attributes
    ----------
    patch_size : int
        As given.
    outputs : int
        Length of the vector that the last layer gives for a patch.

    Raises
    ------
    ModelError
        For an unknown kind of layer, entry or activation, a missing, superfluous, misshapen or
        non-finite weight, or layers that do not fit upon each other.
    """

    def __init__(
        self, layers: Sequence[Mapping[str, Any]], weights: Weights, patch_size: int
    ) -> None:
        self.patch_size = patch_size
        self._on_images: List[Prepare] = []
        self._on_vectors: List[Tuple[Float32Array, Float32Array, Activation]] = []
        shape: Shape = (patch_size, patch_size, 1)
        floats = patch_size * patch_size
        names: Set[str] = set()
        for number, layer in enumerate(layers, start=1):
            kind = layer.get("kind")
            if not isinstance(kind, str) or kind not in _ENTRIES:
                raise ModelError(
                    f"Layer {number} is of the unknown kind {kind!r}; "
                    f"known are {', '.join(sorted(_ENTRIES))}."
                )
            _check_entries(number, layer)
            if "name" in layer:
                if layer["name"] in names:
                    raise ModelError(f"Two layers have the name {layer['name']!r}.")
                names.add(layer["name"])
            if (len(shape) == 3) != (kind != "dense"):
                raise ModelError(
                    f"Layer {number} ({kind}) cannot take its input of shape {shape}: dense layers "
                    "take a vector, as flatten and mean_max_pool give it, all others an image."
                )
            if kind == "dense":
                kernel, bias = _weights(layer, (shape[0], layer["units"]), weights)
                self._on_vectors.append((kernel, bias, _ACTIVATIONS[layer["activation"]]))
                shape = (layer["units"],)
            else:
                prepare, shape, work = _BUILDERS[kind](layer, shape, weights)
                self._on_images.append(prepare)
                floats = max(floats, work)
        if len(shape) != 1:
            raise ModelError(f"The last layer gives an array of shape {shape}, not a vector.")
        unused = set(weights) - {f"{name}/{part}" for name in names for part in ("kernel", "bias")}
        if unused:
            raise ModelError(f"No layer uses the weights {', '.join(sorted(unused))}.")
        self.outputs = shape[0]
        self._features = len(self._on_vectors[0][0]) if self._on_vectors else self.outputs
        self._chunk = max(1, CHUNK_BYTES // (4 * floats))
        self._kept = threading.local()

    def __call__(self, patches: NDArray[Any]) -> Float32Array:
        """Run the network.

        Parameters
        ----------
        patches : (n, P, P) array of float32
            P is `patch_size`; n may be 0.

        Returns
        -------
        (n, K) array of float32
            What the last layer gives: for a softmax layer, probabilities.

        Raises
        ------
        ModelError
            For patches of another shape.
        """
        size = self.patch_size
        if patches.ndim != 3 or patches.shape[1:] != (size, size):
            raise ModelError(f"Patches must be (n, {size}, {size}), not {patches.shape}.")
        n = len(patches)
        x = np.empty((n, self._features), np.float32)
        if n:
            # As many chunks as are needed, of equal size: little is computed twice.
            chunk = -(-n // -(-n // self._chunk))
            space = self._work_space(chunk)
            # The last chunk is shifted inwards: the work space is made for one number of patches.
            for start in [*range(0, n - chunk, chunk), n - chunk]:
                space.source[..., 0] = patches[start : start + chunk]
                for run in space.runs:
                    run()
                x[start : start + chunk] = space.features
        for kernel, bias, activate in self._on_vectors:
            x = x @ kernel
            x += bias
            activate(x, x)
        return x

    def _work_space(self, chunk: int) -> _WorkSpace:
        """Give the calling thread's arrays for so many patches; the last ones are kept.

        To make them anew takes as long as to run a few dozen patches.
        """
        kept: Optional[_WorkSpace] = getattr(self._kept, "space", None)
        if kept is None or len(kept.features) != chunk:
            features = np.empty((chunk, self._features), np.float32)
            source = features
            runs: List[Callable[[], None]] = []
            for prepare in reversed(self._on_images):
                source, run = prepare(chunk, source)
                runs.insert(0, run)
            kept = self._kept.space = _WorkSpace(source, runs, features)
        return kept


class _WorkSpace(NamedTuple):
    """Arrays for a number of patches, and what computes one from the other."""

    source: Float32Array
    runs: List[Callable[[], None]]
    features: Float32Array


def same_padding(length: int, size: int, stride: int) -> Tuple[int, int, int]:
    """Give TensorFlow's 'same' padding of one axis.

    Parameters
    ----------
    length, size, stride : int
        The axis' length, the kernel's length and the step, in samples.

    Returns
    -------
    before, after, outputs : int
        Zeros to put before and after the axis, and the number of outputs, ceil(length / stride).
        An odd zero goes after.
    """
    outputs = -(-length // stride)
    total = max((outputs - 1) * stride + size - length, 0)
    return total // 2, total - total // 2, outputs


def _relu(x: Float32Array, out: Float32Array) -> None:
    np.maximum(x, np.float32(0), out=out)


def _linear(x: Float32Array, out: Float32Array) -> None:
    if out is not x:
        out[...] = x


def _softmax(x: Float32Array, out: Float32Array) -> None:
    np.subtract(x, x.max(axis=-1, keepdims=True), out=out)
    np.exp(out, out=out)
    out /= out.sum(axis=-1, keepdims=True)


_ACTIVATIONS: Dict[str, Activation] = {"relu": _relu, "linear": _linear, "softmax": _softmax}


def _conv2d(layer: Mapping[str, Any], shape: Shape, weights: Weights) -> Tuple[Prepare, Shape, int]:
    height, width, channels = shape
    size, stride, filters = layer["size"], layer["stride"], layer["filters"]
    kernel, bias = _weights(layer, (size, size, channels, filters), weights)
    top, bottom, rows = same_padding(height, size, stride)
    left, right, columns = same_padding(width, size, stride)
    in_blocks = channels == 1 and stride > 1 and size % stride == 0
    if in_blocks:
        # The same numbers as a convolution with a step of 1 over blocks of stride × stride
        # pixels: runs long enough to be copied fast.
        blocks = size // stride
        kernel = kernel.reshape(blocks, stride, blocks, stride, filters).transpose(0, 2, 1, 3, 4)
    length = size * size * channels + 1
    # The bias is one more input that is always 1: a pass over the products less.
    matrix = np.concatenate([kernel.reshape(-1, filters), bias[np.newaxis]])
    activate = _ACTIVATIONS[layer["activation"]]

    def prepare(n: int, destination: Float32Array) -> Tuple[Float32Array, Callable[[], None]]:
        padded = np.zeros((n, height + top + bottom, width + left + right, channels), np.float32)
        product = np.empty((n, rows, columns, filters), np.float32)
        pairs: List[Tuple[NDArray[Any], NDArray[Any]]] = []
        if in_blocks:
            used = padded[:, : stride * (rows + blocks - 1), : stride * (columns + blocks - 1)]
            pixels = np.empty((n, rows + blocks - 1, columns + blocks - 1, stride**2), np.float32)
            # A row of a block is copied as one item.
            item = np.dtype((np.void, 4 * stride))
            rows_of_blocks = used[..., 0].view(item).reshape(n, -1, stride, columns + blocks - 1)
            pairs.append((pixels.view(item), rows_of_blocks.transpose(0, 1, 3, 2)))
            windows = sliding_window_view(pixels, (blocks, blocks), axis=(1, 2))
        else:
            windows = sliding_window_view(padded, (size, size), axis=(1, 2))
            windows = windows[:, ::stride, ::stride]
        windows = windows.transpose(0, 1, 2, 4, 5, 3)
        # Windows lie in rows; with one channel and no blocks, whose runs are too short to be
        # copied fast, in columns.
        if in_blocks or channels > 1:
            inputs = np.ones((n * rows * columns, length), np.float32)
            pairs.append((inputs[:, :-1].reshape(windows.shape), windows))
        else:
            by_offset = np.ones((length, n, rows, columns), np.float32)
            inputs = by_offset.reshape(length, -1).T
            places = [windows[..., i, j, 0] for i in range(size) for j in range(size)]
            pairs += zip(by_offset, places)

        def run() -> None:
            for to, values in pairs:
                np.copyto(to, values)
            np.matmul(inputs, matrix, out=product.reshape(-1, filters))
            activate(product, destination)

        return padded[:, top : top + height, left : left + width], run

    return prepare, (rows, columns, filters), rows * columns * length


def _max_pool(
    layer: Mapping[str, Any], shape: Shape, weights: Weights
) -> Tuple[Prepare, Shape, int]:
    height, width, channels = shape
    size = layer["size"]
    rows, columns = height // size, width // size
    if not rows or not columns:
        raise ModelError(f"A max_pool of {size} does not fit into {height} x {width}.")

    def prepare(n: int, destination: Float32Array) -> Tuple[Float32Array, Callable[[], None]]:
        source = np.empty((n, height, width, channels), np.float32)
        parts = [
            source[:, i : rows * size : size, j : columns * size : size]
            for i in range(size)
            for j in range(size)
        ]

        def run() -> None:
            np.copyto(destination, parts[0])
            for part in parts[1:]:
                np.maximum(destination, part, out=destination)

        return source, run

    return prepare, (rows, columns, channels), height * width * channels


def _flatten(
    layer: Mapping[str, Any], shape: Shape, weights: Weights
) -> Tuple[Prepare, Shape, int]:
    length = int(np.prod(shape))

    def prepare(n: int, destination: Float32Array) -> Tuple[Float32Array, Callable[[], None]]:
        return destination.reshape(n, *shape), lambda: None

    return prepare, (length,), length


def _mean_max_pool(
    layer: Mapping[str, Any], shape: Shape, weights: Weights
) -> Tuple[Prepare, Shape, int]:
    channels = shape[2]

    def prepare(n: int, destination: Float32Array) -> Tuple[Float32Array, Callable[[], None]]:
        source = np.empty((n, *shape), np.float32)
        pixels = source.reshape(n, -1, channels)

        def run() -> None:
            pixels.mean(axis=1, out=destination[:, :channels])
            pixels.max(axis=1, out=destination[:, channels:])

        return source, run

    return prepare, (2 * channels,), int(np.prod(shape))


_BUILDERS = {
    "conv2d": _conv2d,
    "max_pool": _max_pool,
    "flatten": _flatten,
    "mean_max_pool": _mean_max_pool,
}

# The entries of each kind of layer, beside the kind itself.
_ENTRIES: Dict[Any, Set[str]] = {
    "conv2d": {"name", "filters", "size", "stride", "activation"},
    "max_pool": {"size"},
    "flatten": set(),
    "mean_max_pool": set(),
    "dense": {"name", "units", "activation"},
}


def _check_entries(number: int, layer: Mapping[str, Any]) -> None:
    kind = layer["kind"]
    found = set(layer) - {"kind"}
    # An entry that is passed over, such as batch_norm, would make another network.
    if found != _ENTRIES[kind]:
        raise ModelError(
            f"Layer {number} ({kind}) must have the entries {sorted(_ENTRIES[kind])}, "
            f"but has {sorted(found)}."
        )
    for key, value in layer.items():
        if key in ("name", "activation") and not isinstance(value, str):
            raise ModelError(f"Layer {number} ({kind}): {key} must be a text, not {value!r}.")
        if key == "activation" and value not in _ACTIVATIONS:
            raise ModelError(
                f"Layer {number} ({kind}) has the unknown activation {value!r}; "
                f"known are {', '.join(sorted(_ACTIVATIONS))}."
            )
        if key not in ("kind", "name", "activation") and (
            isinstance(value, bool) or not isinstance(value, int) or value < 1
        ):
            raise ModelError(f"Layer {number} ({kind}): {key} must be a count, not {value!r}.")


def _weights(
    layer: Mapping[str, Any], kernel_shape: Shape, weights: Weights
) -> Tuple[Float32Array, Float32Array]:
    found = []
    for part, shape in (("kernel", kernel_shape), ("bias", kernel_shape[-1:])):
        key = f"{layer['name']}/{part}"
        if key not in weights:
            raise ModelError(f"The weights lack {key!r}.")
        array = np.asarray(weights[key])
        if array.shape != shape:
            raise ModelError(
                f"Weights {key!r} have the shape {array.shape}; the layers need {shape}."
            )
        is_float = array.dtype.kind == "f"
        with np.errstate(over="ignore"):
            array = np.ascontiguousarray(array, np.float32)
        if not is_float or not np.isfinite(array).all():
            raise ModelError(f"Weights {key!r} must be finite floats.")
        found.append(array)
    return found[0], found[1]
