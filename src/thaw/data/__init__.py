"""Images in, images out: data sets, folders, anybody's pictures."""

from thaw.data.sets import (
    DATA_SETS,
    EMNIST_SPLITS,
    EMNIST_TRAIN,
    FOLDERS,
    ImageSet,
    available,
    data_root,
    folder_name,
    load,
    resolve,
)

__all__ = ["DATA_SETS", "EMNIST_SPLITS", "EMNIST_TRAIN", "FOLDERS", "ImageSet", "available", "data_root"]
__all__ += ["folder_name", "load", "resolve"]
