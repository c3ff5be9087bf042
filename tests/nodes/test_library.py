"""One index for the process, and where what the pack keeps lies."""

import folder_paths

from image_prompt.nodes import library


def test_other_folders_close_the_index_of_those_before(folders, tmp_path):
    (folders / "ipadapter" / "page.bin").write_text("<html>")
    first = library.index()
    assert library.index() is first
    folder_paths.folder_names_and_paths["ipadapter"][0].append(str(tmp_path / "more"))
    second = library.index()
    assert second is not first
    first.rescan("ipadapter")  # a closed one does not read, and waits for nothing
    assert first.files("ipadapter") == []
    assert [path.name for path in second.paths("ipadapter")] == ["ipadapter", "more"]
