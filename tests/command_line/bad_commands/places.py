"""The bad commands of where to look, and of model files."""

from .rows import Bad, usage

WHERE = "paths identify status catalogue get embed search similar duplicates advise rate compare serve".split()
ACTIONS = ("list", "info", "check", "compact", "export", "connect", "remove")
GOOD = {  # the arguments that a command needs besides
    "identify": "x",
    "get": "nothing",
    "embed": "{pictures} --library new",
    "search": "squares --text red",
    "similar": "red blue",
    "duplicates": "squares",
    "advise": "squares",
    "rate": "squares red.png 1",
    "compare": "{pictures}",
    "library info": "squares",
    "library check": "squares",
    "library compact": "squares",
    "library export": "squares numpy {files}/new",
    "library connect": "new {files} table",
    "library remove": "squares red.png",
}
NO_FOLDER = "Give the folder of such a program, or of its models|Give one with|folder of a ComfyUI"


def where(command: str) -> tuple[Bad, ...]:
    good = GOOD.get(command, "")
    return (
        Bad(command, "--comfyui", f"{good} --comfyui {{files}}/nowhere", NO_FOLDER),
        Bad(command, "--models", f"{good} --models {{files}}/text.txt", NO_FOLDER),
        usage(command, "--models", f"{good} --models x --comfyui x", "not allowed with argument"),
        Bad(command, "--extra-model-paths", f"{good} --extra-model-paths {{files}}/nowhere.yaml", "There is no file"),
    )


def catalogue(command: str) -> tuple[Bad, ...]:
    good = GOOD.get(command, "")
    given = f"{good} --comfyui {{comfyui}} --catalogue {{files}}"
    return (
        Bad(command, "--catalogue", f"{given}/nowhere.json", "cannot be read as a catalogue: there is no such file"),
        Bad(command, "--catalogue", f"{given}/object.json", "is not a catalogue: expected"),
        Bad(command, "--catalogue", f"{given}/latin.json", "cannot be read as a catalogue: .*utf-8"),
        Bad(command, "--catalogue", f"{given}/empty", "cannot be read as a catalogue"),
    )


MODEL_FILES = (
    *(row for command in (*WHERE, *(f"library {action}" for action in ACTIONS)) for row in where(command)),
    *(Bad("paths", "--extra-model-paths", f"--comfyui {{comfyui}} --extra-model-paths {{files}}/{name}", message)
      for name, message in (("bad.yaml", "is not valid YAML"), ("latin.json", "is not valid YAML"),
                            ("empty", "There is no file"))),
    *(row for command in ("paths", "catalogue", "get") for row in catalogue(command)),
    Bad("paths", "--comfyui", "--comfyui '{files}/no\x1b\nwhere'", NO_FOLDER),
    Bad("paths", "--models", "--models ''", "is empty. Expected the name of a folder"),
    Bad("get", "NAME", "'nothing\nlike\x1bit' --comfyui {comfyui}", "The catalogue has no"),
    usage("", "COMMAND", "", "the following arguments are required: COMMAND"),
    usage("", "COMMAND", "nothing", "invalid choice: 'nothing'"),
    usage("paths", "--comfyui", "--comfyui x extra", "unrecognized arguments: extra"),
    usage("identify", "FILE", "", "the following arguments are required: FILE"),
    *(Bad("identify", "FILE", f"{{files}}/{name} --comfyui {{comfyui}}", message) for name, message in (
        ("nowhere", "There is no such file"), ("empty", "is a folder, not a file"), ("text.txt", "is not a model file"),
        ("page.safetensors", "is a web page"), ("cut.png", "damaged or cut short"))),
    *(Bad("identify", "--verify", f"--verify {{files}}/{name}", message) for name, message in (
        ("nowhere", "There is no file"), ("empty", "is a folder"), ("page.safetensors", "is a web page"))),
    Bad("identify", "--picture", "{encoders}/tiny.safetensors --picture x", "give --verify as well"),
    *(Bad("identify", "--picture", f"{{encoders}}/tiny.safetensors --verify --picture {{files}}/{name}", message)
      for name, message in (("nowhere.png", "There is no picture"), ("text.txt", "is not a picture that PIL can read"),
                            ("empty", "is a folder, not a picture"), ("cut.png", "could not be read"))),
    usage("get", "NAME", "", "the following arguments are required: NAME"),
    *(Bad("get", "NAME", f"{name} --comfyui {{comfyui}}", "The catalogue has no")
      for name in ("''", "nothing", "../../x", "/etc/passwd", "%2e%2e")),
    Bad("get", "NAME", "ip-adapter_sd15 --comfyui {comfyui}", "Nothing was downloaded: with --yes you agree"),
    Bad("get", "--offline", "ip-adapter_sd15 --offline --comfyui {comfyui}", "Offline: ip-adapter_sd15 was not"),
    usage("migrate", "FILE", "", "the following arguments are required: FILE"),
    *(Bad("migrate", "FILE", name, message) for name, message in (
        ("{files}/nowhere.json", "There is no file"), ("{files}/empty", "is a folder"), ("''", "is a folder"),
        ("/", "is a folder"), ("{files}/text.txt", "It is not JSON"), ("{files}/latin.json", "not text in UTF-8"),
        ("{pictures}/white.png", "This PNG picture holds no workflow"),
        ("{pictures}/red.png", "There are no nodes of ComfyUI_IPAdapter_plus"),
        ("{files}/object.json", "nodes|workflow"), ("{files}/text.txt/x", "There is no file"))),
    Bad("migrate", "--force", "{files}/there.json", "is there already. Give --force"),
    usage("migrate", "--base", "x.json --base SD2", "invalid choice: 'SD2'"),
)  # fmt: skip
