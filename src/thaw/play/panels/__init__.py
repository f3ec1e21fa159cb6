"""The panels of load_and_play, one file each: `sample`, `watch`, `restore`, `own`, `classify`, `compare`."""
