"""The published networks that rate images, of Keras' own layers.

Each takes patches of shape (n, P, P), float32, of mean 0 and deviation 1 each, and gives scores of
shape (n, 1). That a patch's own mean and deviation are taken out is a choice of this library, as
none of the sources tells how images were scaled: a score then depends neither on the type of the
pixels nor on the detector's gain and offset. What else is not told is under *Chosen*.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from microscope_quality.errors import SettingsError

# Mean over red, green and blue of the deviation of ImageNet's pixels, on the scale from 0 to 255.
_IMAGENET_DEVIATION = 57.6


def qen(patch_size: int = 512) -> Any:
    """Build the Quality Evaluation Network for serial sections in an electron microscope.

    ResNet-50 without its top, global average pooling, dense layers of 512 and 10 units with ReLU,
    and a linear one. 24,641,941 parameters, of which 23,587,712 are the trunk's.

    *Chosen*: the grey patch stands for red, green and blue alike; it is scaled to the deviation
    that ImageNet's images have, which is what weights of ImageNet expect.

    Parameters
    ----------
    patch_size : int
        512 as published; 32 at least.

    Returns
    -------
    keras.Model
        Its trunk is the layer ``resnet50``.

    References
    ----------
    M. Bank Tavakoli, J. L. Morgan, *Evaluating the Quality of Serial EM Sections with Deep
    Learning*. K. He et al., *Deep Residual Learning for Image Recognition*, CVPR 2016.
    """
    import keras

    patches, tensor = _grey(patch_size)
    tensor = keras.layers.Rescaling(_IMAGENET_DEVIATION)(tensor)
    tensor = keras.layers.Concatenate()([tensor, tensor, tensor])
    trunk = keras.applications.ResNet50(
        include_top=False, weights=None, input_shape=(patch_size, patch_size, 3), name="resnet50"
    )
    tensor = keras.layers.GlobalAveragePooling2D()(trunk(tensor))
    for units in (512, 10):
        tensor = keras.layers.Dense(units, activation="relu")(tensor)
    return keras.Model(patches, keras.layers.Dense(1)(tensor), name="qen")


def dcnn_iqa_14(patch_size: int = 512) -> Any:
    """Build DCNN-IQA-14, a plain network of 14 convolutions.

    14 convolutions, 2 down-samplings between them, pooling, 2 dense layers.

    *Chosen*: convolutions of 3 × 3 with ReLU, 4 of 32, 5 of 64 and 5 of 128 filters, with maximum
    pooling of 2 × 2 between; global average pooling; dense layers of 128 units with ReLU and of 1,
    linear. No batch normalisation, as none is told of.

    Parameters
    ----------
    patch_size : int
        4 at least.

    Returns
    -------
    keras.Model

    References
    ----------
    Zhang et al. (2021), as M. Bank Tavakoli and J. L. Morgan compare QEN with it in *Evaluating
    the Quality of Serial EM Sections with Deep Learning*; their introduction has the names of this
    network and of MIQA right, and their methods have them swapped.
    """
    import keras

    patches, tensor = _grey(patch_size)
    for stage, (number, filters) in enumerate(((4, 32), (5, 64), (5, 128))):
        if stage:
            tensor = keras.layers.MaxPooling2D(2)(tensor)
        for _ in range(number):
            tensor = keras.layers.Conv2D(
                filters, 3, padding="same", activation="relu", kernel_initializer="he_normal"
            )(tensor)
    tensor = keras.layers.GlobalAveragePooling2D()(tensor)
    tensor = keras.layers.Dense(128, activation="relu")(tensor)
    return keras.Model(patches, keras.layers.Dense(1)(tensor), name="dcnn_iqa_14")


def miqa(patch_size: int = 512) -> Any:
    """Build MIQA, a small residual network that judges by the lowest response.

    A convolution, maximum pooling, 2 residual blocks, minimum pooling, 2 dense layers.

    *Chosen*: a convolution of 7 × 7 with 32 filters; maximum pooling of 2 × 2; blocks of two
    convolutions of 3 × 3 with 32 filters, batch normalisation after each convolution, and ReLU
    but on the sum of the second block, since the minimum of what is rectified is 0; minimum
    pooling over the whole patch; dense layers of 64 units with ReLU and of 1, linear.

    Parameters
    ----------
    patch_size : int
        4 at least.

    Returns
    -------
    keras.Model

    References
    ----------
    Cui et al. (2020); as for `dcnn_iqa_14`.
    """
    import keras

    patches, tensor = _grey(patch_size)
    tensor = _normalised_conv(tensor, 32, 7)
    tensor = keras.layers.Activation("relu")(tensor)
    tensor = keras.layers.MaxPooling2D(2)(tensor)
    for block in range(2):
        before = tensor
        tensor = keras.layers.Activation("relu")(_normalised_conv(tensor, 32, 3))
        tensor = keras.layers.Add()([before, _normalised_conv(tensor, 32, 3)])
        if block == 0:
            tensor = keras.layers.Activation("relu")(tensor)
    # The minimum is the maximum of what is negated; the dense layer's weights have either sign.
    tensor = keras.layers.GlobalMaxPooling2D()(keras.layers.Rescaling(-1.0)(tensor))
    tensor = keras.layers.Rescaling(-1.0)(tensor)
    tensor = keras.layers.Dense(64, activation="relu")(tensor)
    return keras.Model(patches, keras.layers.Dense(1)(tensor), name="miqa")


def sted(patch_size: int = 224) -> Any:
    """Build the network that rates STED images of a neuron's actin.

    6 convolutions, each with maximum pooling of 2 × 2, and 2 dense layers; ELU; batch
    normalisation but on the first; a sigmoid. The pooling's stride is 2: the printed one, 1, would
    leave 15 million values for the dense layers to see.

    *Chosen*, as a near relative that is public has them: convolutions of 3 × 3 with 32, 64, 128,
    192, 256 and 320 filters. A dense layer of 512 units and one of 1, as two are told of where the
    relative has three. Batch normalisation before ELU, and pooling after it.

    Parameters
    ----------
    patch_size : int
        224 as published; 64 at least.

    Returns
    -------
    keras.Model

    References
    ----------
    L.-É. Robitaille et al., *Learning to Become an Expert: Deep Networks Applied To
    Super-Resolution Microscopy*, AAAI 2018.
    """
    import keras

    patches, tensor = _grey(patch_size)
    for number, filters in enumerate((32, 64, 128, 192, 256, 320)):
        if number:
            tensor = _normalised_conv(tensor, filters, 3)
        else:
            tensor = keras.layers.Conv2D(filters, 3, padding="same")(tensor)
        tensor = keras.layers.Activation("elu")(tensor)
        tensor = keras.layers.MaxPooling2D(2)(tensor)
    tensor = keras.layers.Flatten()(tensor)
    tensor = keras.layers.Dense(512, use_bias=False)(tensor)
    tensor = keras.layers.BatchNormalization(momentum=_MOMENTUM)(tensor)
    tensor = keras.layers.Activation("elu")(tensor)
    return keras.Model(patches, keras.layers.Dense(1, activation="sigmoid")(tensor), name="sted")


@dataclass(frozen=True)
class PublishedNetwork:
    """A network that is known by its name.

    Attributes
    ----------
    name : str
    build : callable
        Gives the Keras model for patches of a size in pixels.
    patch_size : int
        As published, or chosen.
    least_patch_size : int
        The smallest that it can take.
    """

    name: str
    build: Callable[[int], Any]
    patch_size: int
    least_patch_size: int


NETWORKS = {
    network.name: network
    for network in (
        PublishedNetwork("qen", qen, 512, 32),
        PublishedNetwork("dcnn_iqa_14", dcnn_iqa_14, 512, 4),
        PublishedNetwork("miqa", miqa, 512, 4),
        PublishedNetwork("sted", sted, 224, 64),
    )
}
# Of the running means of batch normalisation, which else take hundreds of steps to be right.
_MOMENTUM = 0.9


def get_network(name: str) -> PublishedNetwork:
    """Give the network of that name.

    Raises
    ------
    SettingsError
        If there is none; the message lists those there are.
    """
    if name not in NETWORKS:
        raise SettingsError(
            f"There is no published network {name!r}; there are: {', '.join(sorted(NETWORKS))}."
        )
    return NETWORKS[name]


def _grey(patch_size: int) -> tuple[Any, Any]:
    """Give the input of a network, and it as an image of one channel."""
    import keras

    patches = keras.Input((patch_size, patch_size), name="patches")
    return patches, keras.layers.Reshape((patch_size, patch_size, 1))(patches)


def _normalised_conv(tensor: Any, filters: int, size: int) -> Any:
    """Apply a convolution and batch normalisation, which has a bias of its own."""
    import keras

    tensor = keras.layers.Conv2D(
        filters, size, padding="same", use_bias=False, kernel_initializer="he_normal"
    )(tensor)
    return keras.layers.BatchNormalization(momentum=_MOMENTUM)(tensor)
