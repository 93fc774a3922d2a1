"""From samples to batches: crop once with a margin, keep, shuffle, augment, batch.

>>> cache = CropCache.build(readers.w300.read(root), crop=model.crop, image_size=model.image_size)
>>> cache.save("cache/w300")                                    # one .npz and .npy pair
>>> train = training_dataset(cache, 128, "greglref", seed=0, epoch=0)       # tf.data
>>> train = device_batches(cache, 128, "greglref", seed=0, epoch=0)         # JAX, any device
>>> images, landmarks = evaluation_arrays(cache)

Nothing here imports TensorFlow until ``training_dataset`` or shards are used.
"""

from tfalign.data.pipeline.crop_cache import CropCache, concatenate, evaluation_arrays
from tfalign.data.pipeline.device import device_batches
from tfalign.data.pipeline.on_disk import ImagesOnDisk, cache_on_disk
from tfalign.data.pipeline.order import EpochPlan, epoch_plan, steps_per_epoch
from tfalign.data.pipeline.shards import ShardedCache, write_shards
from tfalign.data.pipeline.tf_dataset import training_dataset

__all__ = [
    "CropCache",
    "EpochPlan",
    "ImagesOnDisk",
    "ShardedCache",
    "cache_on_disk",
    "concatenate",
    "device_batches",
    "epoch_plan",
    "evaluation_arrays",
    "steps_per_epoch",
    "training_dataset",
    "write_shards",
]
