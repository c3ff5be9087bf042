"""The bad commands of libraries of pictures, and of the server for them. {comfyui} has the library squares."""

from .rows import Bad, usage

AT = "--comfyui {comfyui}"
NO_NAMES = (
    ("nothing", "There is no library 'nothing'. Known are: broken, squares"),
    ("''", "'' cannot be the name of a library: it is empty"),
    ("..", "cannot be the name of a library"),
    ("../squares", "cannot be the name of a library: it holds a character of paths"),
    ("/etc", "cannot be the name of a library"),
    ("broken", 'library.json of the library "broken" is damaged'),
)
NO_ENCODERS = (
    ("nothing", "'nothing' is not the name of an image encoder"),
    ("''", "'' is not the name of an image encoder"),
    ("nothing.safetensors", "There is no file 'nothing.safetensors'"),
    ("{files}/text.txt", "is not a model file"),
    ("{files}/empty", "is a folder without the config.json of a model"),
)
NO_PICTURES = (
    ("''", "There is no picture ''"),
    ("{files}/nowhere.png", "There is no picture"),
    ("{files}/empty", "is a folder, not a picture"),
    ("{files}/cut.png", "could not be read"),
)


def named(command: str, after: str = "", of: str = "NAME") -> tuple[Bad, ...]:
    missing = usage(command, of, "", f"the following arguments are required: .*{of}")
    return (missing, *(Bad(command, of, f"{name} {after} {AT}", message) for name, message in NO_NAMES))


def encoders(command: str, good: str) -> tuple[Bad, ...]:
    return tuple(Bad(command, "--encoder", f"{good} --encoder {name} {AT}", message) for name, message in NO_ENCODERS)


def queries(command: str) -> tuple[Bad, ...]:
    text = f"squares {AT} --text red"
    return (
        Bad(command, "--text", f"squares {AT} --text ''", "The text is empty"),
        Bad(command, "--text", f"squares {AT} --text ' '", "The text is empty"),
        *(Bad(command, "--image", f"squares {AT} --image {path}", message) for path, message in NO_PICTURES),
        Bad(command, "--image", f"squares {AT} --image {{files}}/text.txt", "is not a picture that PIL can read"),
        usage(command, "--image", f"{text} --image x", "not allowed with argument --text"),
        *(usage(command, "-k", f"{text} -k {k}", "invalid int value") for k in ("abc", "1.5", "nan", "1e400", "''")),
        *(Bad(command, "-k", f"{text} -k {k}", f"-k {k} finds nothing") for k in (0, -3)),
        *(Bad(command, "--minimum", f"{text} --minimum {number}", "--minimum is a cosine in -1..1, not")
          for number in ("nan", "inf", "1e400", "1.5", "-2")),
        usage(command, "--minimum", f"{text} --minimum abc", "invalid float value"),
    )  # fmt: skip


EMBED = f"{{pictures}} --library new {AT}"
BY = "{pictures} " + AT + " --pattern '(.)'"
EXPORT = f"squares numpy {{files}}/new {AT}"
CONNECT = f"new {{files}}/empty table {AT}"
LIBRARIES = (
    usage("embed", "FOLDER|LIST.JSON", "--library new", "required: FOLDER.LIST.json"),
    *(Bad("embed", "FOLDER|LIST.JSON", f"{source} --library new {AT}", message) for source, message in (
        ("{files}/nowhere", "There is no folder or list"), ("''", "There is no folder or list ''"),
        ("{pictures}/red.png", "is one picture: give its folder"), ("{files}/text.txt", "is no list of pictures"),
        ("{files}/latin.json", "is no list of pictures"), ("{files}/object.json", "is no list of pictures"),
        ("{files}/nameless.json", "Entry 1 of nameless.json does not say which picture"),
        ("{files}/nul.json", "Entry 1 of nul.json does not say which picture"),
        ("{files}/deep.json", "is no list of pictures"), ("{files}/none.json", "No picture was found"),
        ("{files}/empty", "No picture was found"))),
    usage("embed", "--library", "{pictures}", "required: --library"),
    *(Bad("embed", "--library", f"{{pictures}} --library {name} {AT}", message)
      for name, message in (*NO_NAMES[1:], ("CON", "a reserved name of"), ("...", "begins or ends with a dot"))),
    *encoders("embed", "{pictures} --library new"),
    Bad("embed", "--encoder", f"{{pictures}} --library squares {AT} --encoder {{encoders}}/other.safetensors",
        "was made with other weights"),
    *(Bad("embed", "--max-pixels", f"{EMBED} --max-pixels {number}", "give a number from 4,096 to 1,843,200")
      for number in (0, -1, 10**30)),
    Bad("embed", "--max-pixels", f"{EMBED} --max-pixels 5000", "--max-pixels is for vision-language models"),
    usage("embed", "--max-pixels", f"{EMBED} --max-pixels abc", "invalid int value: 'abc'"),
    *(usage("embed", "--shard", f"{EMBED} --shard {share}", "is no share of the work: write 1/3")
      for share in ("x", "0/2", "3/2", "1/0", "1", "1.0/2", "²/3", "''", f"1/{'9' * 5000}")),
    usage("embed", "--ray", f"{EMBED} --shard 1/2 --ray", "not allowed with argument --shard"),
    *(Bad("embed", of, f"{EMBED} {given}", message) for of, given, message in (
        ("--prune", "--shard 1/2 --prune", "--prune is for one machine"),
        ("--shard-size", "--shard-size 64", "is for machines that share the work"),
        ("--parts", "--parts x", "is for machines that share the work"),
        ("--parts", "--shard 1/2 --parts {files}/text.txt", "The plan in .* cannot be read: Not a directory"),
        ("--parts", "--shard 1/2 --parts {files}/text.txt/x", "The plan in .* cannot be read: Not a directory"),
        ("--actors", "--actors 2", "is for machines that share the work"),
        ("--actors", "--shard 1/2 --actors 2", "give --ray as well"),
        ("--address", "--address auto", "is for machines that share the work"),
        ("--address", "--shard 1/2 --address auto", "give --ray as well"),
        ("--shard", "--shard 1/2 --encoder nothing", "is not the name of an image encoder"))),
    usage("embed", "--parts", f"{EMBED} --shard 1/2 --parts ''", "it is empty: give the path of a folder"),
    *(usage("embed", of, f"{EMBED} {given} {of} {number}", "is no number from 1 on")
      for of, given in (("--shard-size", "--shard 1/2"), ("--actors", "--ray"))
      for number in ("0", "-1", "1.5", "x", "9" * 5000)),
    *(Bad("embed", of, f"{{files}}/none.json --library new {AT} {of} {value}".strip(), "is a list, which one machine")
      for of, value in (("--shard", "1/2"), ("--ray", ""))),
    *named("search", "--text red"),
    usage("search", "--text", "squares", "one of the arguments --text --image is required"),
    *queries("search"),
    *encoders("search", "squares --text red"),
    Bad("search", "--encoder", f"squares --text red {AT} --encoder '{{encoders}}/image half.safetensors'",
        "encodes pictures only"),
    Bad("search", "--encoder", f"squares --text red {AT} --encoder a --encoder b", "--encoder is given 2 times for 1"),
    *(Bad("search", "--fuse", f"squares --text red {AT} --fuse {name}", message) for name, message in NO_NAMES),
    Bad("search", "--fuse", f"squares --text red {AT} --fuse squares", "is given twice: --fuse takes another one"),
    usage("similar", "A", "", "required: A, B"),
    usage("similar", "B", "red", "required: B"),
    *(Bad("similar", of, f"{a} {b} {AT}", message) for text, message in (
        ("''", "The text is empty"), ("text:", "The text is empty"), *NO_PICTURES[1:])
      for of, a, b in (("A", text, "red"), ("B", "red", text))),
    *encoders("similar", "red blue"),
    *(Bad("duplicates", "NAME|FOLDER", f"{name} {AT}", message) for name, message in NO_NAMES
      if name not in ("..", "/etc")),  # which are folders
    usage("duplicates", "NAME|FOLDER", "", "required: NAME.FOLDER"),
    Bad("duplicates", "NAME|FOLDER", f"{{files}}/empty {AT}", "No picture was found"),
    *(Bad("duplicates", "--threshold", f"squares {AT} --threshold {number}", "is a cosine in -1..1, not")
      for number in ("nan", "inf", "1e400", "1.5", "-2")),
    usage("duplicates", "--threshold", "squares --threshold abc", "invalid float value"),
    *encoders("duplicates", "{pictures}"),
    Bad("duplicates", "--encoder", f"squares {AT} --encoder nothing", "--encoder is for a folder"),
    *named("advise"),
    *queries("advise"),
    *encoders("advise", "squares --text red"),
    Bad("advise", "NAME", f"squares {AT}", "No picture of the library 'squares' is rated 1"),
    Bad("advise", "--minimum", f"squares {AT} --minimum 0.2", "without --text or --image there is none"),
    Bad("advise", "-k", f"squares {AT} -k 3", "give --text or --image as well"),
    Bad("advise", "--encoder", f"squares {AT} --encoder tiny", "give --text or --image as well"),
    Bad("advise", "--folder", f"squares {AT} --folder nothing", "No picture of the library 'squares'"),
    *named("rate", "red.png 1"),
    usage("rate", "PATH", "squares 1", "required: PATH|required: rating"),
    *(Bad("rate", "PATH", f"squares {path} 1 {AT}", "has no picture") for path in
      ("nothing.png", "../red.png", "''", "/etc/passwd", "red.png ''")),
    *(usage("rate", "RATING", f"squares red.png {rating}", "argument rating: invalid") for rating in ("2", "x", "0.5")),
    usage("compare", "FOLDER|LIST.JSON", "", "required: FOLDER.LIST.json"),
    *(Bad("compare", "FOLDER|LIST.JSON", f"{source} {AT}", message) for source, message in (
        ("{files}/nowhere", "There is no folder or list"), ("{files}/text.txt", "is no list of pictures"),
        ("{files}/empty", "No picture was found"), ("{pictures}", "All labelled pictures have the same label"),
        ("{pictures}/more", "has a label. Put the pictures of each label"))),
    *encoders("compare", "{pictures} --pattern '(.)'"),
    Bad("compare", "--encoder", f"{BY} --encoder tiny --encoder tiny", "is given twice"),
    *(Bad("compare", "--labels", f"{{pictures}} {AT} --labels {{files}}/{name}", message) for name, message in (
        ("nowhere.json", "cannot be read: No such file"), ("empty", "cannot be read: Is a directory"),
        ("text.txt", "holds no labels"), ("latin.json", "holds no labels"), ("none.json", "holds no labels"),
        ("object.json", "The label of 'entries' in object.json is no text"))),
    usage("compare", "--labels", f"{BY} --labels x", "not allowed with argument"),
    *(Bad("compare", "--pattern", f"{{pictures}} {AT} --pattern '{pattern}'", message) for pattern, message in (
        ("(", "is no regular expression"), ("abc", "has no group"), ("", "has no group"), ("(x*)", "has a label"))),
    *(Bad("compare", "--template", f"{BY} --template '{template}'", "write {} where the text goes")
      for template in ("", "a photo", "{{{{0}}}}")),
    *(Bad("compare", "--max-pixels", f"{BY} --max-pixels {number}", "give a number from") for number in (0, 10**30)),
    Bad("compare", "--max-pixels", f"{BY} --max-pixels 10000", "is for vision-language models"),
    usage("compare", "--max-pixels", f"{BY} --max-pixels x", "invalid int value"),
    *named("library info"), *named("library check"), *named("library compact"),
    *named("library export", "numpy {files}/new"),
    *named("library remove", "red.png"),
    *(Bad("library remove", "PATH", f"squares red.png {path} {AT}", "has no picture")
      for path in ("nothing.png", "''", "/etc/hostname", "../red.png")),
    usage("library remove", "PATH", "squares", "required: PATH"),
    *(usage("library export", "FORMAT", f"squares {format} x", "argument format: invalid choice")
      for format in ("csv", "''", "NUMPY")),
    usage("library export", "FOLDER|URI", "squares numpy", "required: FOLDER.URI"),
    *(Bad("library export", "FOLDER|URI", f"squares {given} {AT}", message) for given, message in (
        ("numpy {files}/text.txt", "is no folder: give a new folder for the export"),
        ("numpy {files}/text.txt/x", "cannot be made"), ("numpy /proc/x", "cannot be made: No such file or directory"),
        ("numpy {files}", "holds other files"), ("parquet {pictures}", "holds other files"),
        ("numpy /dev/full", "is no folder"),
        ("lance ''", "has to be given: a folder, or s3://"), ("lance nothing://x", "is no place of LanceDB tables"),
        ("lance s3://name:word@x/y", "so holds no keys"), ("lance {files}/text.txt", "cannot be used: File exists"))),
    Bad("library export", "--force", f"squares numpy {{files}} {AT} --force", "holds other files"),
    *(Bad("library export", "--table", f"squares lance {{files}}/new {AT} --table '{table}'", "the name of a table")
      for table in ("", "../x", "a b", "x/y")),
    Bad("library export", "--table", f"{EXPORT} --table x", "--table and --storage-option are of LanceDB"),
    Bad("library export", "--storage-option", f"{EXPORT} --storage-option a=B", "are of LanceDB"),
    *(Bad(command, "--storage-option", f"{given} {options}", message) for command, given in (
        ("library export", f"squares lance {{files}}/new {AT}"), ("library connect", CONNECT))
      for options, message in (
        ("--storage-option x", "A storage option is KEY=VARIABLE"),
        ("--storage-option x=", "A storage option is KEY=VARIABLE"),
        ("--storage-option x=NOT_SET", "not the name of an environment variable that is set"),
        ("--storage-option x=PATH --storage-option x=HOME", "is given twice"))),
    usage("library connect", "NAME", "", "required: NAME, FOLDER.URI, TABLE"),
    *(Bad("library connect", "NAME", f"{name} {{files}}/empty table {AT}", message) for name, message in (
        *NO_NAMES[1:5], ("squares", "with pictures of its own: choose another name"))),
    *(Bad("library connect", "FOLDER|URI", f"new {uri} table {AT}", message) for uri, message in (
        ("{files}/nowhere", "cannot be opened: it is not there"), ("''", "has to be given"),
        ("nothing://x", "is no place of LanceDB tables"), ("s3://a:b@c/d", "so holds no keys"))),
    *(Bad("library connect", "TABLE", f"new {{files}}/empty '{table}' {AT}", message) for table, message in (
        ("", "the name of a table"), ("../x", "the name of a table"), ("none", "it is not there"))),
    *(Bad("library connect", "--root", f"{CONNECT} --root {root}", "is no root: write NUMBER=FOLDER")
      for root in ("1", "a=b", "1=", "²=/x", "''", "=", "=/x", f"{'9' * 5000}=/x")),
    Bad("library connect", "--root", f"{CONNECT} --root 1=/a --root 1=/b", "twice: give each root once"),
    Bad("library connect", "--root", f"{CONNECT} --root 1=a", "is no whole path"),
    usage("library list", "--comfyui", "extra", "unrecognized arguments: extra"),
    usage("library list", "--comfyui", "--nothing", "unrecognized arguments: --nothing"),
)  # fmt: skip

SERVE = AT + " --host 192.0.2.1"  # no address of any computer: whatever is not refused before ends there
SERVER = (
    *encoders("serve", "")[:-1],
    Bad("serve", "--encoder", f"{AT} --encoder {{files}}/empty", "is no folder of a Qwen3-VL"),
    *(Bad("serve", "--host", f"{AT} --host {host}", message) for host, message in (
        ("192.0.2.1", "This computer has no address 192.0.2.1"), ("300.1.1.1", "has no address 300.1.1.1"),
        ("''", "--host is empty"), ("'a b'", "has no address"))),
    *(Bad("serve", "--port", f"{SERVE} --port {port}", "There is no port") for port in (-1, 65536, 10**30)),
    *(usage("serve", "--port", f"--port {port}", "invalid int value") for port in ("abc", "1.5", "nan")),
    *(Bad("serve", "--allow-host", f"{SERVE} --allow-host '{name}'", "give a name alone")
      for name in ("", "*", "http://x", "x:80", "a b", "../x")),
    *(Bad("serve", "--device", f"{SERVE} --device {device}", message) for device, message in (
        ("nothing", "There is no device 'nothing'"), ("''", "no device ''"), ("meta", "tensors have no values"),
        ("cpu:x", "There is no device"))),
    *(Bad("serve", "--dtype", f"{SERVE} --dtype {dtype}", "The dtype is") for dtype in ("nothing", "int8", "''")),
    *(Bad("serve", of, f"{SERVE} {of} {number}", "give a whole number, 1 or more")
      for of in ("--batch-size", "--workers") for number in (0, -1)),
    *(usage("serve", of, f"{of} {number}", "invalid int value")
      for of in ("--batch-size", "--workers") for number in ("x", "1.5", "1e400")),
    Bad("serve", "--workers", f"{SERVE} --workers 999999999", "each is a thread, and 256 are the most"),
    *(Bad("serve", "--unload-after", f"{SERVE} --unload-after {number}", "give seconds above 0")
      for number in ("nan", 0, -1, "1e300", "1e400")),
    usage("serve", "--unload-after", "--unload-after x", "invalid float value"),
)  # fmt: skip
