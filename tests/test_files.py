"""Writing files so that nothing is ever half-written."""

import os

import pytest

from thaw.errors import ThawError
from thaw.files import make_folder, remember, replacing, sha256, write_json, write_text


def test_a_file_appears_when_it_is_complete_and_not_before(tmp_path):
    path = tmp_path / "deep" / "file.txt"
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert not path.exists() and temporary.suffix == ".txt"
    assert path.read_text() == "new"
    assert os.listdir(path.parent) == ["file.txt"]


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_failure_leaves_the_old_version_and_no_trace_of_the_new_one(tmp_path, kind):
    path = tmp_path / "it"
    for text, fails in (("old", False), ("new", True)):
        try:
            with replacing(path) as temporary:
                target = temporary
                if kind == "folder":
                    temporary.mkdir()
                    target = temporary / "part"
                target.write_text(text)
                if fails:
                    raise KeyboardInterrupt
        except KeyboardInterrupt:
            assert fails
    assert (path if kind == "file" else path / "part").read_text() == "old"
    assert os.listdir(tmp_path) == ["it"]


def test_a_failure_before_anything_was_written_leaves_nothing(tmp_path):
    with pytest.raises(ZeroDivisionError), replacing(tmp_path / "it"):
        raise ZeroDivisionError
    assert os.listdir(tmp_path) == []


def test_a_folder_replaces_a_folder_whole(tmp_path):
    for name in ("first", "second"):
        with replacing(tmp_path / "it") as temporary:
            temporary.mkdir()
            (temporary / name).touch()
    assert os.listdir(tmp_path / "it") == ["second"]


def test_a_place_that_cannot_be_written_is_refused_by_name(tmp_path):
    """The parent is a file: not even root can write there."""
    (tmp_path / "file").touch()
    for write in (
        lambda path: make_folder(path),
        lambda path: write_text(path / "a.txt", "text"),
        lambda path: write_json(path / "a.json", {}),
    ):
        with pytest.raises(ThawError, match=f"cannot write.*{tmp_path / 'file'}"):
            write(tmp_path / "file" / "folder")


def test_a_value_that_is_no_json_leaves_the_old_file(tmp_path):
    write_json(tmp_path / "a.json", {"a": 1})
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", {"a": object()})
    assert (tmp_path / "a.json").read_text() == '{\n "a": 1\n}\n'


def test_the_checksum_is_sha256(tmp_path):
    (tmp_path / "abc").write_bytes(b"abc")
    assert sha256(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_what_was_computed_is_remembered_by_its_key_until_the_file_is_damaged(tmp_path):
    calls = []

    def value(result):
        def compute():
            calls.append(result)
            return result

        return compute

    key = {"n": 3, "widths": (1, 2)}
    assert remember(tmp_path, key, value([1.5])) == remember(tmp_path, key, value([2.5])) == [1.5]
    assert remember(tmp_path, key | {"n": 4}, value([3.5])) == [3.5] and len(calls) == 2
    for path in tmp_path.iterdir():
        path.write_text("{")
    assert remember(tmp_path, key, value([4.5])) == remember(tmp_path, key, value([5.5])) == [4.5]
    assert remember(None, key, value(6)) == 6
