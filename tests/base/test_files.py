"""Writing files so that nothing is ever half-written."""

import os

import pytest
from cases import everything

from thaw.base.errors import ThawError
from thaw.base.files import check_target, make_folder, remember, replacing, sha256, write_json, write_text


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
            with replacing(path, over=kind) as temporary:
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
        with replacing(tmp_path / "it", over="folder") as temporary:
            temporary.mkdir()
            (temporary / name).touch()
    assert os.listdir(tmp_path / "it") == ["second"]


def lay(place):
    """Put one of each kind of thing into a folder, and return what may lie under a name: name -> path."""
    (place / "full").mkdir()
    (place / "full" / "mine.txt").write_text("mine")
    (place / "empty").mkdir()
    (place / "file").write_text("mine")
    for name, target in (("to full", "full"), ("to empty", "empty"), ("to file", "file"), ("to nothing", "nothing")):
        (place / name).symlink_to(target)
    os.mkfifo(place / "pipe")
    return {path.name: path for path in place.iterdir()}


# What each writer replaces; what it does not name, it leaves as it is, and says so.
REPLACED = {"file": {"file"}, "empty": {"empty", "to empty"}, "folder": {"full", "empty"}}
REPLACED["link"] = {"to full", "to empty", "to file", "to nothing"}


@pytest.mark.parametrize("over", REPLACED)
def test_nothing_is_replaced_by_a_thing_of_another_kind(tmp_path, over):
    def write(temporary):
        if over == "file":
            temporary.write_text("new")
        elif over == "link":
            temporary.symlink_to("new")
        else:
            temporary.mkdir()
            (temporary / "new").touch()

    for index, name in enumerate([*lay(tmp_path), "new"]):
        place = tmp_path / str(index)
        place.mkdir()
        lay(place)
        path, before = place / name, everything(place)
        if name in {*REPLACED[over], "new"}:
            with replacing(path, over) as temporary:
                write(temporary)
            assert everything(place) != before
            continue
        with pytest.raises(ThawError, match="name"), replacing(path, over):
            pytest.fail("was asked to work in vain")
        assert everything(place) == before


def test_what_appears_while_a_file_is_written_is_left_as_it_is(tmp_path):
    with pytest.raises(ThawError, match="is a folder"), replacing(tmp_path / "it") as temporary:
        temporary.touch()
        (tmp_path / "it").mkdir()
    assert os.listdir(tmp_path) == ["it"]


def test_an_output_is_checked_by_its_ending_and_by_what_lies_there(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.json").write_text("{}")
    (tmp_path / "folder.json").mkdir()
    (tmp_path / "link.json").symlink_to("in/a.json")
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("one")
    os.link(tmp_path / "in" / "a.json", tmp_path / "hard.json")
    before = everything(tmp_path)
    wrong = {
        "": "a path is empty", "x": "end it in .json", "x.png": "end it in .json", ".json": "end it in .json",
        "x.json/": "end it in .json", "folder.json": "is a folder", "link.json": "is a link",
        "in/a.json/x.json": "cannot write in .*a.json", "one/x.json": "cannot write to",
        f"{'x' * 250}.json": "too long",
        "in/a.json": "the input", "in/../in/a.json": "the input", "hard.json": "is the input",
        "in/b.json": "lies in the input", "in/deep/b.json": "lies in the input",
    }  # fmt: skip
    for name, reason in wrong.items():
        path = f"{tmp_path}/{name}" if name else name
        with pytest.raises(ThawError, match=reason) as caught:
            check_target(path, ".json", inputs=[tmp_path / "in", tmp_path / "in" / "a.json", None, "not there"])
        assert "\n" not in str(caught.value)
    for name in ("x.json", "new/deep/x.json", "in/a.json", "hard.json"):
        assert check_target(tmp_path / name, ".json") == tmp_path / name
    assert everything(tmp_path) == before


def test_a_folder_is_new_or_empty_or_added_to(tmp_path, monkeypatch):
    things, before = lay(tmp_path), everything(tmp_path)
    fine = {"new": {"empty", "to empty"}, "filled": {"empty", "to empty", "full", "to full"}}
    for kind, names in fine.items():
        for name, path in things.items():
            if name in names:
                assert check_target(path, folder=kind) == path
            else:
                with pytest.raises(ThawError, match="name"):
                    check_target(path, folder=kind)
        assert check_target(tmp_path / "a" / "b.c", folder=kind)
        with pytest.raises(ThawError, match="end it in .png, or name a"):
            check_target(tmp_path / "b.c", ".png", folder=kind)
    monkeypatch.chdir(things["empty"])
    with pytest.raises(ThawError, match="in use"):
        check_target(".", folder="new")
    assert everything(tmp_path) == before


def test_further_files_are_somebody_elses_unless_a_sign_tells(tmp_path):
    page, sign = tmp_path / "it.html", tmp_path / "it.ipynb"
    page.touch()
    with pytest.raises(ThawError, match="it.html is there already"):
        check_target(sign, ".ipynb", also=[page])
    sign.touch()
    assert check_target(sign, ".ipynb", also=[page]) == sign
    assert check_target(tmp_path, folder="filled", also=[page], sign=sign)
    with pytest.raises(ThawError, match="not generated"):
        check_target(page, ".html", mark="Generated")


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
