"""Images in, images out: data sets, folders, anybody's pictures."""

from thaw.data.sets import DATA_SETS as DATA_SETS
from thaw.data.sets import EMNIST_SPLITS as EMNIST_SPLITS
from thaw.data.sets import FOLDERS as FOLDERS
from thaw.data.sets import DamagedDataError as DamagedDataError
from thaw.data.sets import ImageSet as ImageSet
from thaw.data.sets import available as available
from thaw.data.sets import data_root as data_root
from thaw.data.sets import folder_name as folder_name
from thaw.data.sets import load as load
from thaw.data.sets import on_disk as on_disk
from thaw.data.sets import resolve as resolve
from thaw.data.sets import what_changed as what_changed
