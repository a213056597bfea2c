"""Several devices, in one machine or in several: each takes its part of every batch.

TensorFlow's own strategies share the variables and add up the gradients (``MirroredStrategy`` in
one machine, ``MultiWorkerMirroredStrategy`` between machines). Keras 3 does not ``fit`` under the
second, so the step is written out here; it works the same under both, and one step of n devices
is one step of a single device on the whole batch.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from microscope_quality.errors import SettingsError

Array = npt.NDArray[Any]
Step = Callable[[Array, Array], float]


@dataclass(frozen=True)
class Devices:
    """The devices of a training.

    Attributes
    ----------
    strategy
        A ``tf.distribute.Strategy``; None for one device, which Keras then uses by itself.
    worker, workers : int
        Number of this process, from 0, and of all.
    count : int
        Devices of all workers.
    """

    strategy: Any = None
    worker: int = 0
    workers: int = 1
    count: int = 1

    @property
    def chief(self) -> bool:
        """Whether this is the process that writes the files."""
        return self.worker == 0

    @property
    def local(self) -> int:
        """Devices of this process."""
        return self.count // self.workers

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        """Give the context in which the network and its optimiser must be made."""
        return contextlib.nullcontext() if self.strategy is None else self.strategy.scope()


def connect(devices: str | None = None) -> Devices:
    """Find the devices to train on; with several machines, wait for the others.

    Call it before anything else is done with TensorFlow.

    Parameters
    ----------
    devices : str, optional
        A number, or ``"all"``; by default one. GPUs, or where there is none, TensorFlow's logical
        processors. With several machines each uses all of its own.

    Notes
    -----
    Several machines are described as TensorFlow does it, by the environment variable
    ``TF_CONFIG``, which names the workers and says which one this is::

        {"cluster": {"worker": ["host0:2222", "host1:2222"]},
         "task": {"type": "worker", "index": 0}}

    Raises
    ------
    SettingsError
        If the number is none, or more than there are, if ``TF_CONFIG`` is not as above, or if
        Keras does not run on TensorFlow.
    """
    workers, worker = _cluster(os.environ.get("TF_CONFIG", ""))
    if workers == 1 and devices in (None, "1"):
        return Devices()
    if keras.backend.backend() != "tensorflow":
        raise SettingsError(
            f"Several devices need Keras on TensorFlow; it runs on {keras.backend.backend()}: set "
            "KERAS_BACKEND=tensorflow."
        )
    import tensorflow as tf

    if workers > 1:
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
        return Devices(strategy, worker, workers, strategy.num_replicas_in_sync)
    kind = "GPU" if tf.config.list_physical_devices("GPU") else "CPU"
    names = [device.name for device in tf.config.list_logical_devices(kind)]
    if devices != "all":
        count = int(devices) if devices is not None and devices.isdigit() else 0
        if not 1 <= count <= len(names):
            raise SettingsError(
                f"devices must be 'all' or a number from 1 to {len(names)}, the {kind}s that "
                f"TensorFlow sees; it is {devices!r}."
            )
        names = names[:count]
    if len(names) == 1:
        return Devices()
    return Devices(tf.distribute.MirroredStrategy(names), count=len(names))


def stepper(devices: Devices, model: keras.Model) -> Step:
    """Give the function that does one step and tells its loss.

    Parameters
    ----------
    devices : Devices
    model : keras.Model
        Made and compiled within ``devices.scope()``, with a loss that gives a value a patch.

    Returns
    -------
    callable
        Takes this process's part of the batch, patches and targets, whose number its devices
        share evenly; gives the mean loss over the whole batch.
    """
    if devices.strategy is None:

        def whole(patches: Array, targets: Array) -> float:
            model.reset_metrics()
            return float(model.train_on_batch(patches, targets))

        return whole
    import tensorflow as tf

    strategy, count = devices.strategy, devices.count
    limit = model.optimizer.clipnorm

    def on_each(patches: Any, targets: Any) -> Any:
        with tf.GradientTape() as tape:
            # The batch normalisation's own reduction makes the statistics those of all devices.
            losses = model.loss(targets, model(patches, training=True))
            loss = tf.reduce_mean(losses) / count
        variables = model.trainable_variables
        gradients = tape.gradient(loss, [variable.value for variable in variables])
        replica = tf.distribute.get_replica_context()
        gradients = replica.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
        if limit is not None:
            # The optimiser clips before it adds up, each device's part by itself.
            gradients = [tf.clip_by_norm(gradient, limit) for gradient in gradients]
        # The optimiser adds up what the devices bring, and by now each brings the whole.
        model.optimizer.apply([gradient / count for gradient in gradients], variables)
        return replica.all_reduce(tf.distribute.ReduceOp.SUM, loss)

    @tf.function(jit_compile=False)  # type: ignore[untyped-decorator, unused-ignore]
    def on_all(patches: Any, targets: Any) -> Any:
        return strategy.run(on_each, args=(patches, targets))

    def shared(array: Array) -> Any:
        parts = np.split(np.asarray(array, dtype=np.float32), devices.local)
        first = devices.worker * devices.local

        def part(context: Any) -> Any:
            return tf.constant(parts[context.replica_id_in_sync_group - first])

        return strategy.experimental_distribute_values_from_function(part)

    def step(patches: Array, targets: Array) -> float:
        loss = on_all(shared(patches), shared(targets))
        return float(strategy.experimental_local_results(loss)[0])

    return step


def of_chief(devices: Devices, value: float) -> float:
    """Give all workers the chief's value: what it decides, all must do."""
    if devices.workers == 1:
        return value
    import tensorflow as tf

    strategy = devices.strategy

    @tf.function  # type: ignore[untyped-decorator, unused-ignore]
    def summed(values: Any) -> Any:
        def add(own: Any) -> Any:
            replica = tf.distribute.get_replica_context()
            # An input lies on no device yet, and the sum is made where its terms lie.
            return replica.all_reduce(tf.distribute.ReduceOp.SUM, tf.identity(own))

        return strategy.run(add, args=(values,))

    def own(context: Any) -> Any:
        first = context.replica_id_in_sync_group == 0
        return tf.constant(value if first else 0.0, dtype=tf.float64)

    total = summed(strategy.experimental_distribute_values_from_function(own))
    return float(strategy.experimental_local_results(total)[0])


def _cluster(text: str) -> tuple[int, int]:
    """Read ``TF_CONFIG``: the number of workers, and which one this is."""
    if not text:
        return 1, 0
    try:
        config = json.loads(text)
        workers = len(config["cluster"]["worker"])
        task = config["task"]
        if set(config["cluster"]) != {"worker"} or task["type"] != "worker":
            raise ValueError("there are other tasks than workers")
        worker = int(task["index"])
        if not 0 <= worker < workers:
            raise ValueError(f"there is no worker {worker}")
    except (ValueError, KeyError, TypeError) as error:
        raise SettingsError(
            'TF_CONFIG must be like {"cluster": {"worker": ["host0:2222", "host1:2222"]}, '
            f'"task": {{"type": "worker", "index": 0}}}}; it is {text!r} ({error}).'
        ) from error
    return workers, worker
