"""Weights on disk: released files, and refusing every file that is not what it says."""

import io
import json
import os
import pickle
import random
import re
import zipfile

import pytest
import torch

from thaw.base.errors import ThawError
from thaw.base.files import sha256
from thaw.base.pixels import to_uint8
from thaw.model import Model
from thaw.scoring import load_judge
from thaw.store import load_model, load_tensors, read_manifest, release_path, save_release, save_tensors
from thaw.store.catalogue import catalogue
from thaw.terminal import MIXTURE

KINDS = {
    "scale": {},
    "row": {"study": "custom", "degradation": "row", "options": {"group": 4}, "steps": None, "tau": (0.0, 1.0)},
}


@pytest.fixture(params=KINDS)
def model(request, tiny) -> Model:
    return tiny(**KINDS[request.param])


@pytest.fixture
def released(tmp_path, tiny):
    """A small released file, listed in its manifest."""
    model = tiny(**KINDS["row"])
    return save_release(tmp_path / "pretrained", model, model.network.state_dict())


def altered(path, **parts):
    """Rewrite a released file with some parts replaced, and take it off the manifest."""
    content = load_tensors(path) | parts
    save_tensors(path, {key: value for key, value in content.items() if value is not None})
    (path.parent / "MANIFEST.json").unlink()
    return path


def test_released_weights_come_back_to_half_precision(model, tmp_path):
    path = save_release(tmp_path, model, model.network.state_dict())
    again = load_model(path)
    assert path.name == model.config.release_name(4) and again.epoch == 4
    assert again.config == model.config and again.classes == model.classes
    assert again.process.shape == model.process.shape and not again.network.training
    for key, value in model.network.state_dict().items():
        assert torch.equal(again.network.state_dict()[key], value.half().float())
    for part in MIXTURE:
        torch.testing.assert_close(getattr(again.terminal, part), getattr(model.terminal, part))
    y = model.labels(4)
    torch.testing.assert_close(again.sample(y, eta=0.0), model.sample(y, eta=0.0), rtol=0, atol=0.02)


def test_a_release_carries_the_pictures_that_its_degradation_draws_from(tiny, tmp_path, monkeypatch):
    model = tiny(study="custom", degradation="morph", options={"data": "digits"}, tau=(0.0, 1.0))
    again = load_model(save_release(tmp_path, model, model.network.state_dict()))
    stored = model.process.degradation.state()["pictures"]
    assert torch.equal(again.process.degradation.state()["pictures"], stored) and len(stored) == 256
    monkeypatch.setattr("thaw.data.load", None)  # sampling reads no data set any more
    z = again.process.degradation.draw_z(5, torch.Generator().manual_seed(0))
    matches = (to_uint8(z)[:, None] == stored).flatten(2).all(dim=2)  # (5, 256)
    assert matches.any(dim=1).all()
    assert again.sample(again.labels(4)).shape == (4, 1, 28, 28)


def test_releasing_what_was_loaded_changes_nothing(model, tmp_path):
    first = load_model(save_release(tmp_path / "a", model, model.network.state_dict()))
    second = load_model(save_release(tmp_path / "b", first, first.network.state_dict()))
    y = model.labels(4)
    assert torch.equal(first.sample(y), second.sample(y))


def test_a_release_holds_tensors_and_plain_values_only(released):
    content = torch.load(released, weights_only=True)
    assert all(value.dtype == torch.float16 for value in content["network"].values())
    assert json.loads(content["config"])["degradation"] == "row"


def test_the_manifest_lists_checksum_size_and_origin(released, tiny):
    entry = read_manifest(released.parent)[released.name]
    assert entry["sha256"] == sha256(released) and entry["bytes"] == released.stat().st_size
    assert entry["epoch"] == 4 and entry["config"]["degradation"] == "row" and entry["terminal_rank"] <= 7
    model = load_model(released)
    assert entry["parameters"] == sum(p.numel() for p in model.network.parameters())
    assert model.info["sha256"] == entry["sha256"] and model.info["file"] == released.name


def test_the_manifest_keeps_other_entries_and_further_ones(released, tiny):
    model = tiny()
    save_release(released.parent, model, model.network.state_dict(), {"fid": 3.5})
    manifest = read_manifest(released.parent)
    assert list(manifest) == sorted([released.name, "ddpm_digits_4_default.pth"])
    assert manifest["ddpm_digits_4_default.pth"]["fid"] == 3.5
    assert load_model(release_path("default", data="digits", folder=released.parent)).info["fid"] == 3.5


def test_a_file_that_differs_from_its_checksum_is_refused(released):
    content = load_tensors(released)
    save_tensors(released, content | {"epoch": 5})
    with pytest.raises(ThawError, match="checksum.*git checkout"):
        load_model(released)


def test_every_cut_of_a_released_file_is_refused(released):
    whole = released.read_bytes()
    for size in [0, 1, 100, *range(200, len(whole), len(whole) // 25), len(whole) - 1]:
        released.write_bytes(whole[:size])
        with pytest.raises(ThawError, match=re.escape(str(released))):
            load_model(released)


def saved(value, **options) -> bytes:
    file = io.BytesIO()
    torch.save(value, file, **options)
    return file.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello, world\n",
        b"\x89PNG\r\n\x1a\n" + bytes(100),
        pickle.dumps({"a": 1}),
        saved(torch.zeros(3)),
        saved([1, 2, 3]),
        saved({"weight": torch.zeros(3)}),
        saved(torch.nn.Linear(2, 2)),
        saved({"format": "other-weights/7"}),
        saved({"format": "thaw-features/1"}),
    ],
    ids=["empty", "text", "picture", "pickle", "tensor", "list", "state", "module", "foreign format", "features"],
)
def test_a_foreign_file_is_refused_by_name(content, tmp_path):
    path = tmp_path / "foreign.pth"
    path.write_bytes(content)
    with pytest.raises(ThawError, match="foreign.pth"):
        load_model(path)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_no_damage_gets_through_as_another_error(legacy, tmp_path):
    """Flipped bits, cuts and noise: a `ThawError`, or (where a bit of a number flipped) a readable file."""
    draws, path = random.Random(0), tmp_path / "damaged.pth"
    whole = saved({"a": torch.zeros(50), "b": [1, 2]}, _use_new_zipfile_serialization=not legacy)
    for trial in range(300):
        content = bytearray(whole)
        if trial % 3 == 0:
            content = content[: draws.randrange(len(content))]
        elif trial % 3 == 1:
            content[draws.randrange(len(content))] ^= 1 << draws.randrange(8)
        else:
            content = bytearray(draws.randrange(256) for _ in range(draws.randrange(60)))
        path.write_bytes(content)
        try:
            load_tensors(path)
        except ThawError:
            pass
        except Exception as error:
            pytest.fail(f"{type(error).__name__} for {bytes(content)[:40]}: {error}")


class Attack:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_code_in_a_file_is_never_run(tmp_path, legacy):
    """The same bytes, unpickled, do create the file: the attack is real."""
    path, trace = tmp_path / "evil.pth", tmp_path / "trace"
    torch.save({"network": Attack(trace)}, path, _use_new_zipfile_serialization=not legacy)
    for load in (load_tensors, load_model):
        with pytest.raises(ThawError, match="evil.pth"):
            load(path)
    path.write_bytes(pickle.dumps(Attack(trace)))
    with pytest.raises(ThawError, match="evil.pth"):
        load_tensors(path)
    assert not trace.exists()
    pickle.loads(path.read_bytes()).close()
    assert trace.exists()


def test_weights_that_do_not_fit_their_configuration_are_refused(released):
    config = json.loads(load_tensors(released)["config"])
    altered(released, config=json.dumps(config | {"widths": [16, 24]}))
    with pytest.raises(ThawError, match="do not fit.*" + re.escape("size mismatch")):
        load_model(released)


@pytest.mark.parametrize("part", ["config", "shape", "classes", "epoch", "network", "terminal"])
@pytest.mark.parametrize("value", [None, "nonsense", 3], ids=["missing", "text", "number"])
def test_a_part_that_is_missing_or_of_the_wrong_kind_is_refused(released, part, value):
    if (part, value) in (("classes", 3), ("epoch", 3)):
        value = [3]
    with pytest.raises(ThawError, match=re.escape(released.name)):
        load_model(altered(released, **{part: value}))


@pytest.mark.parametrize(
    "part", [{"shape": [1, 8]}, {"shape": [1, -8, 8]}, {"shape": [1, 0, 8]}, {"epoch": -1}], ids=str
)
def test_a_part_that_cannot_be_is_refused(released, part):
    with pytest.raises(ThawError, match=f"{released.name} lacks a part .* or it is of the wrong kind"):
        load_model(altered(released, **part))


def test_a_file_of_another_version_is_called_that(released):
    with pytest.raises(ThawError, match="another version of Thaw; .*'thaw-weights/2', expected 'thaw-weights/1'"):
        load_model(altered(released, format="thaw-weights/2"))


def test_a_flipped_bit_is_noticed_without_a_manifest(released):
    """In the middle of every part: torch reads it, and a network draws a little worse."""
    whole = altered(released).read_bytes()
    with zipfile.ZipFile(released) as parts:
        places = [(one.filename, one.header_offset, one.file_size) for one in parts.infolist() if one.file_size > 256]
    assert len(places) >= 8
    for name, offset, size in places[:: len(places) // 8]:
        start = whole.index(name.encode(), offset) + len(name)
        at = start + 64 + size // 2
        released.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
        with pytest.raises(ThawError, match="truncated or damaged"):
            load_model(released)


def test_a_stored_configuration_with_an_unknown_key_is_refused(released):
    config = json.loads(load_tensors(released)["config"])
    with pytest.raises(ThawError, match="colour"):
        load_model(altered(released, config=json.dumps(config | {"colour": "red"})))


def test_a_missing_file_is_refused_by_name(tmp_path):
    with pytest.raises(ThawError, match="no file.*nowhere.pth"):
        load_model(tmp_path / "nowhere.pth")
    with pytest.raises(ThawError, match="not a complete checkpoint"):
        load_model(tmp_path)
    with pytest.raises(ThawError, match="no run directory or file nothing, and no weights mnist nothing in pretrained"):
        load_model("nothing")
    with pytest.raises(ThawError, match="no run directory or file runs/nothing; check its name"):
        load_model("runs/nothing")


def test_released_weights_go_by_name_or_by_that_of_their_file_wherever_one_is(repository, monkeypatch, tmp_path):
    """In the project, in a folder of it, and elsewhere if THAW_PRETRAINED names the folder, which then comes first."""
    file = release_path("row_default_28", folder=repository / "pretrained").name
    names = ("row_default_28", file.removesuffix(".pth"), file)
    for here in (repository, repository / "src" / "thaw"):
        monkeypatch.chdir(here)
        assert {load_model(name).info["file"] for name in names} == {file}
        assert release_path("default").exists() and file in read_manifest()
    monkeypatch.chdir(tmp_path)
    for name in names[:2]:
        with pytest.raises(ThawError, match="run this in the folder that you cloned.* or set THAW_PRETRAINED to"):
            load_model(name)
    monkeypatch.setenv("THAW_PRETRAINED", str(repository / "pretrained"))
    assert {load_model(name).info["file"] for name in names} == {file}
    assert load_judge("mnist").folder == repository / "pretrained"
    monkeypatch.chdir(repository)
    monkeypatch.setenv("THAW_PRETRAINED", str(tmp_path / "none"))
    with pytest.raises(ThawError, match="THAW_PRETRAINED is .*none', which is no folder"):
        load_model("default")
    monkeypatch.setenv("THAW_PRETRAINED", str(tmp_path))
    with pytest.raises(ThawError, match=f"no weights mnist default in {tmp_path}; there are: none"):
        load_model("default")


def test_a_damaged_manifest_is_refused_by_name(released):
    (released.parent / "MANIFEST.json").write_text("{")
    with pytest.raises(ThawError, match="MANIFEST.json"):
        load_model(released)


@pytest.mark.parametrize(
    "entry", [{"epoch": "4"}, {"config": "row"}, {"sha256": 3}, {"bytes": None}, {"epoch": None}], ids=str
)
def test_a_manifest_that_a_hand_has_spoilt_is_refused_by_the_entry(released, entry):
    path = released.parent / "MANIFEST.json"
    listed = json.loads(path.read_text())
    listed[released.name] = {k: v for k, v in (listed[released.name] | entry).items() if k != "epoch" or v is not None}
    path.write_text(json.dumps(listed))
    for read in (lambda: load_model(released), lambda: catalogue(released.parent)):
        with pytest.raises(ThawError, match=f"MANIFEST.json tells of {released.name} what no release does; restore it"):
            read()


def test_the_newest_epoch_is_chosen_and_one_that_was_not_shipped_is_refused(tmp_path):
    names = ["ddpm_mnist_5_default", "ddpm_mnist_20_default", "custom_mnist_5_row_default_28", "ddpm_digits_9_default"]
    for name in names:
        (tmp_path / f"{name}.pth").touch()
    assert release_path("default", folder=tmp_path).stem == "ddpm_mnist_20_default"
    assert release_path("default", 5, folder=tmp_path).stem == "ddpm_mnist_5_default"
    assert release_path("row_default_28", folder=tmp_path).stem == "custom_mnist_5_row_default_28"
    assert release_path("default", data="digits", folder=tmp_path).stem == "ddpm_digits_9_default"
    assert release_path("default_digits", folder=tmp_path).stem == "ddpm_digits_9_default"
    with pytest.raises(ThawError, match="epoch 7 .*5, 20"):
        release_path("default", 7, folder=tmp_path)
    with pytest.raises(ThawError, match="mnist light.*digits default.*mnist default.*mnist row_default_28"):
        release_path("light", folder=tmp_path)
    with pytest.raises(ThawError, match="none"):
        release_path("light", folder=tmp_path / "empty")


def test_a_place_that_cannot_be_written_is_refused(model, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ThawError, match="cannot write"):
        save_release(tmp_path / "file" / "pretrained", model, model.network.state_dict())


def test_a_full_disk_is_an_error_for_the_user_and_leaves_the_old_file(tmp_path):
    """A limit on the size of files stands in for the disk: the writes themselves fail."""
    resource = pytest.importorskip("resource")
    path = tmp_path / "weights.pth"
    save_tensors(path, {"a": torch.ones(3)})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        with pytest.raises(ThawError, match="cannot write.*weights.pth"):
            save_tensors(path, {"a": torch.zeros(100_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert torch.equal(load_tensors(path)["a"], torch.ones(3)) and os.listdir(tmp_path) == ["weights.pth"]
