"""A small convolutional network in NumPy: the few layer kinds that the models are made of.

All work is matrix products by BLAS, so that a model runs wherever NumPy does, starts at once,
and keeps pace with a deep-learning framework on a processor.
"""

from __future__ import annotations

import math
import threading
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from microscope_quality.arguments import as_count, as_mapping, as_numbers, as_text, shown
from microscope_quality.descriptors import (
    MULTIPLE,
    N_DESCRIPTORS,
    SMALLEST_PATCH_SIZE,
    descriptors,
)
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

# Far above any model's that is known. A block of patches then takes bounded memory, and a patch
# about a second.
MOST_PATCH_SIZE = 1024
MOST_LAYERS = 100
MOST_PARAMETERS = 2**28
MOST_FLOATS = 2**26
MOST_PRODUCTS = 10**10
_MOST = {"filters": 2**14, "units": 2**16, "size": 128, "stride": MOST_PATCH_SIZE}
_LONGEST_VECTOR = 2**17
# What sums may reach in a network; float32 ends at 3.4e38, which leaves room for their rounding.
_LARGEST_VALUE = 1e38
# Descriptors are logarithms; none is beyond it.
_MOST_DESCRIPTOR = 100.0


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
            {"kind": "descriptors"}                           see `descriptors.descriptors`
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
        As `planned`; also for a missing, superfluous, misshapen or non-finite weight, and for
        weights so large that some patch of values from -P to P could bring forth a number that
        float32 cannot hold. A patch of mean 0 and deviation 1 has no others.
    """

    def __init__(
        self, layers: Sequence[Mapping[str, Any]], weights: Weights, patch_size: int
    ) -> None:
        steps = planned(layers, patch_size)
        self.patch_size = patch_size
        self._on_images: List[Prepare] = []
        self._on_vectors: List[Tuple[Float32Array, Float32Array, Activation]] = []
        weights = as_mapping("weights", weights)
        reach = float(patch_size)
        for step in steps:
            kernel = bias = _NOTHING
            if step.kernel is not None:
                kernel, bias, reach = _weights(step, weights, reach)
            if step.layer["kind"] == "descriptors":
                reach = _MOST_DESCRIPTOR
            prepared = _KINDS[step.layer["kind"]].prepared
            if prepared is None:
                activation = _ACTIVATIONS[step.layer["activation"]]
                self._on_vectors.append((kernel, bias, activation))
                continue
            if step.layer["kind"] == "mean_max_pool" and reach * step.floats > _LARGEST_VALUE:
                raise ModelError(
                    "The weights are too large: with them the sums of mean_max_pool may reach "
                    f"{reach * step.floats:.3g}; {_LARGEST_VALUE:g} is the most that is allowed."
                )
            self._on_images.append(prepared(step, kernel, bias))
        names = {step.layer["name"] for step in steps if step.kernel is not None}
        unused = set(weights) - {f"{name}/{part}" for name in names for part in ("kernel", "bias")}
        if unused:
            raise ModelError(f"No layer uses the weights {', '.join(sorted(map(str, unused)))}.")
        self.outputs = steps[-1].result[0]
        self._features = len(self._on_vectors[0][0]) if self._on_vectors else self.outputs
        greediest = max(patch_size**2, *(step.floats for step in steps))
        all_together = patch_size**2 + sum(step.held for step in steps)
        self._chunk = max(1, min(CHUNK_BYTES // (4 * greediest), MOST_FLOATS // all_together))
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
            For patches of another shape, or that bring forth numbers that are not finite.
        """
        size = self.patch_size
        patches = as_numbers("patches", patches)
        if patches.ndim != 3 or patches.shape[1:] != (size, size):
            raise ModelError(f"Patches must be (n, {size}, {size}), not {patches.shape}.")
        with np.errstate(over="ignore", invalid="ignore"):
            outputs = self._run(patches)
        if not np.isfinite(outputs).all():
            raise ModelError(
                "The network gives values that are not finite; patches must be finite, and from "
                f"-{size} to {size}."
            )
        return outputs

    def _run(self, patches: NDArray[Any]) -> Float32Array:
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


class Step(NamedTuple):
    """A layer, and what comes of it in the place where it stands."""

    layer: Mapping[str, Any]
    source: Shape
    result: Shape
    kernel: Optional[Shape]
    floats: int  # of its greediest array, for a patch
    held: int  # of all its arrays, for a patch


def planned(layers: Sequence[Mapping[str, Any]], patch_size: int) -> List[Step]:
    """Give what layers make of a patch, before there are any weights.

    Parameters
    ----------
    layers, patch_size
        As `Network` takes them.

    Raises
    ------
    ModelError
        For an unknown kind of layer, entry or activation, layers that do not fit upon each other,
        and a network that takes more memory or time than any model needs.
    """
    as_count("patch_size", patch_size, 1, MOST_PATCH_SIZE, error=ModelError)
    if not isinstance(layers, (list, tuple)) or len(layers) > MOST_LAYERS:
        raise ModelError(
            f"layers must be a list of at most {MOST_LAYERS} layers, not "
            f"{len(layers) if isinstance(layers, (list, tuple)) else shown(layers)}."
        )
    steps: List[Step] = []
    shape: Shape = (patch_size, patch_size, 1)
    names: Set[str] = set()
    for number, layer in enumerate(layers, start=1):
        _check_layer(number, layer)
        kind = layer["kind"]
        if "name" in layer:
            if layer["name"] in names:
                raise ModelError(f"Two layers have the name {shown(layer['name'])}.")
            names.add(layer["name"])
        if (len(shape) == 3) != (kind != "dense"):
            raise ModelError(
                f"Layer {number} ({kind}) cannot take its input of shape {shape}: dense layers "
                "take a vector, as flatten, mean_max_pool and descriptors give it, all others an "
                "image."
            )
        steps.append(_KINDS[kind].plan(layer, shape))
        shape = steps[-1].result
        _check_size(number, steps)
    if len(shape) != 1:
        raise ModelError(f"The last layer gives an array of shape {shape}, not a vector.")
    return steps


def _check_size(number: int, steps: Sequence[Step]) -> None:
    """Refuse the last of some steps if it takes more than any model does."""
    kernels = [step.kernel for step in steps if step.kernel is not None]
    multiplied = [
        math.prod(step.kernel) * math.prod(step.result[:-1])
        for step in steps
        if step.kernel is not None
    ]
    longest = max((step.result[0] for step in steps if len(step.result) == 1), default=0)
    for what, found, most in (
        ("values in its vector", longest, _LONGEST_VECTOR),
        ("parameters", sum(map(math.prod, kernels)), MOST_PARAMETERS),
        ("values in memory for a patch", sum(step.held for step in steps), MOST_FLOATS),
        ("multiplications for a patch", sum(multiplied), MOST_PRODUCTS),
    ):
        if found > most:
            raise ModelError(
                f"With layer {number} ({steps[-1].layer['kind']}) the network has {found} {what}; "
                f"at most {most} are allowed."
            )


def _plan_conv2d(layer: Mapping[str, Any], shape: Shape) -> Step:
    height, width, channels = shape
    size, stride, filters = layer["size"], layer["stride"], layer["filters"]
    rows, columns = (same_padding(length, size, stride)[2] for length in (height, width))
    inputs = rows * columns * (size * size * channels + 1)
    padded = math.prod(
        length + sum(same_padding(length, size, stride)[:2]) for length in (height, width)
    )
    held = inputs + 2 * padded * channels + rows * columns * filters
    kernel = (size, size, channels, filters)
    return Step(layer, shape, (rows, columns, filters), kernel, inputs, held)


def _plan_max_pool(layer: Mapping[str, Any], shape: Shape) -> Step:
    height, width, channels = shape
    rows, columns = height // layer["size"], width // layer["size"]
    if not rows or not columns:
        raise ModelError(f"A max_pool of {layer['size']} does not fit into {height} x {width}.")
    pixels = math.prod(shape)
    return Step(layer, shape, (rows, columns, channels), None, pixels, pixels)


def _plan_flatten(layer: Mapping[str, Any], shape: Shape) -> Step:
    return Step(layer, shape, (math.prod(shape),), None, math.prod(shape), 0)


def _plan_mean_max_pool(layer: Mapping[str, Any], shape: Shape) -> Step:
    return Step(layer, shape, (2 * shape[2],), None, math.prod(shape), math.prod(shape))


def _plan_descriptors(layer: Mapping[str, Any], shape: Shape) -> Step:
    height, width, channels = shape
    fits = height == width and channels == 1 and height % MULTIPLE == 0
    if not fits or height < SMALLEST_PATCH_SIZE:
        raise ModelError(
            f"descriptors take patches whose side is a multiple of {MULTIPLE}, "
            f"{SMALLEST_PATCH_SIZE} at least, and nothing before them, not {shape}."
        )
    pixels = math.prod(shape)
    return Step(layer, shape, (N_DESCRIPTORS,), None, 3 * pixels, 8 * pixels)


def _plan_dense(layer: Mapping[str, Any], shape: Shape) -> Step:
    kernel = (shape[0], layer["units"])
    return Step(layer, shape, (layer["units"],), kernel, 0, 0)


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
    length = as_count("length", length, 1)
    size, stride = as_count("size", size, 1), as_count("stride", stride, 1)
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


def _conv2d(step: Step, kernel: Float32Array, bias: Float32Array) -> Prepare:
    layer, (height, width, channels) = step.layer, step.source
    size, stride, filters = layer["size"], layer["stride"], layer["filters"]
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

    return prepare


def _max_pool(step: Step, kernel: Float32Array, bias: Float32Array) -> Prepare:
    size, (rows, columns, _) = step.layer["size"], step.result

    def prepare(n: int, destination: Float32Array) -> Tuple[Float32Array, Callable[[], None]]:
        source = np.empty((n, *step.source), np.float32)
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

    return prepare


def _flatten(step: Step, kernel: Float32Array, bias: Float32Array) -> Prepare:
    def prepare(n: int, destination: Float32Array) -> Tuple[Float32Array, Callable[[], None]]:
        return destination.reshape(n, *step.source), lambda: None

    return prepare


def _mean_max_pool(step: Step, kernel: Float32Array, bias: Float32Array) -> Prepare:
    channels = step.source[2]

    def prepare(n: int, destination: Float32Array) -> Tuple[Float32Array, Callable[[], None]]:
        source = np.empty((n, *step.source), np.float32)
        pixels = source.reshape(n, -1, channels)

        def run() -> None:
            pixels.mean(axis=1, out=destination[:, :channels])
            pixels.max(axis=1, out=destination[:, channels:])

        return source, run

    return prepare


def _descriptors(step: Step, kernel: Float32Array, bias: Float32Array) -> Prepare:
    def prepare(n: int, destination: Float32Array) -> Tuple[Float32Array, Callable[[], None]]:
        source = np.empty((n, *step.source), np.float32)

        def run() -> None:
            destination[:] = descriptors(source[..., 0])

        return source, run

    return prepare


_NOTHING: Float32Array = np.empty(0, np.float32)


class _Kind(NamedTuple):
    """A kind of layer.

    Its entries beside the kind itself, what it makes of its input, and, if it works on images,
    how it is prepared.
    """

    entries: Set[str]
    plan: Callable[[Mapping[str, Any], Shape], Step]
    prepared: Optional[Callable[[Step, Float32Array, Float32Array], Prepare]] = None


_KINDS: Dict[Any, _Kind] = {
    "conv2d": _Kind({"name", "filters", "size", "stride", "activation"}, _plan_conv2d, _conv2d),
    "max_pool": _Kind({"size"}, _plan_max_pool, _max_pool),
    "flatten": _Kind(set(), _plan_flatten, _flatten),
    "mean_max_pool": _Kind(set(), _plan_mean_max_pool, _mean_max_pool),
    "descriptors": _Kind(set(), _plan_descriptors, _descriptors),
    "dense": _Kind({"name", "units", "activation"}, _plan_dense),
}


def _check_layer(number: int, layer: Mapping[str, Any]) -> None:
    kind = layer.get("kind") if isinstance(layer, Mapping) else layer
    if not isinstance(kind, str) or kind not in _KINDS:
        raise ModelError(
            f"Layer {number} is of the unknown kind {shown(kind)}; "
            f"known are {', '.join(sorted(_KINDS))}."
        )
    found = set(layer) - {"kind"}
    # An entry that is passed over, such as batch_norm, would make another network.
    if found != _KINDS[kind].entries:
        raise ModelError(
            f"Layer {number} ({kind}) must have the entries {sorted(_KINDS[kind].entries)}, "
            f"but has {sorted(map(str, found))}."
        )
    for key, value in layer.items():
        if key in _MOST:
            as_count(f"Layer {number} ({kind}): {key}", value, 1, _MOST[key], error=ModelError)
        else:
            as_text(f"Layer {number} ({kind}): {key}", value, error=ModelError)
        if key == "activation" and value not in _ACTIVATIONS:
            raise ModelError(
                f"Layer {number} ({kind}) has the unknown activation {shown(value)}; "
                f"known are {', '.join(sorted(_ACTIVATIONS))}."
            )


def _weights(
    step: Step, weights: Weights, reach: float
) -> Tuple[Float32Array, Float32Array, float]:
    """Give a layer's kernel and bias, and how large its values can be if its input's are so."""
    name, kernel_shape = step.layer["name"], step.kernel or ()
    kernel = _array(weights, f"{name}/kernel", kernel_shape)
    bias = _array(weights, f"{name}/bias", kernel_shape[-1:])
    sums = _absolute_sums(kernel.reshape(-1, kernel_shape[-1]))
    for part, sizes in (("kernel", sums), ("bias", bias)):
        if not np.isfinite(sizes).all():
            raise ModelError(f"Weights {shown(f'{name}/{part}')} must be finite floats.")
    # Whatever the order in which products are added up, no sum of them is larger.
    largest = float((sums * reach + np.abs(bias)).max())
    if largest > _LARGEST_VALUE:
        raise ModelError(
            f"The weights of layer {shown(name)} are too large: with them the network's values "
            f"may reach {largest:.3g}; {_LARGEST_VALUE:g} is the most that is allowed."
        )
    return kernel, bias, 1.0 if step.layer["activation"] == "softmax" else largest


def _array(weights: Weights, key: str, shape: Shape) -> Float32Array:
    if key not in weights:
        raise ModelError(f"The weights lack {shown(key)}.")
    array = as_numbers(f"Weights {shown(key)}", weights[key], error=ModelError)
    if array.shape != shape:
        raise ModelError(
            f"Weights {shown(key)} have the shape {array.shape}; the layers need {shape}."
        )
    if array.dtype.kind != "f":
        raise ModelError(f"Weights {shown(key)} must be finite floats.")
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(array, np.float32)


def _absolute_sums(kernel: Float32Array) -> NDArray[np.float64]:
    """Sum sizes over all but the last axis; in parts, as a copy would not fit into the cache."""
    sums = np.zeros(kernel.shape[1])
    for start in range(0, len(kernel), 1024):
        sums += np.abs(kernel[start : start + 1024]).sum(axis=0, dtype=np.float64)
    return sums
