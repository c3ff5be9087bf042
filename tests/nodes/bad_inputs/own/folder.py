"""Bad inputs of Encode Folder of Pictures."""

from image_prompt.nodes.encoding.folder import EncodeFolder as Folder

from ..row import DICT, LIST, NOTHING, TEXT, Bad

ROWS = (
    Bad(Folder, {"clip_vision": NOTHING}, r"The clip_vision is nothing: connect Load Image Encoder\."),
    Bad(
        Folder,
        {"folder": "gone"},
        r"The folder is the text 'gone': choose a folder below .* input folder \(broken, empty, set",
    ),
    Bad(Folder, {"folder": "../input/set"}, "The folder is the text '../input/set': choose a folder below"),
    Bad(Folder, {"folder": "set/../set"}, "The folder is the text 'set/../set': choose a folder below"),
    Bad(Folder, {"folder": LIST}, "The folder is a list of 2: choose a folder below"),
    Bad(Folder, {"folder": "empty"}, "The folder 'empty' in .* holds no pictures: put some into it, or choose another"),
    Bad(Folder, {"folder": "broken"}, "page.jpg' is not a picture that PIL can read: give a PNG"),
    Bad(Folder, {"pictures": "some"}, "The input pictures is the text 'some': choose one of all, at random, in turn"),
    Bad(Folder, {"count": 0}, "The count is 0: it must be a whole number from 1 on"),
    Bad(Folder, {"number": 0.5}, r"The number is 0\.5: it must be a whole number from 0 on"),
    Bad(Folder, {"crop": "mask"}, "The input crop is the text 'mask': choose one of center, .*, tiles"),
    Bad(Folder, {"background": "red"}, "The input background is the text 'red': choose one of black"),
    Bad(Folder, {"crop": "tiles", "tiles": 0}, "tiles along the short side is 0: give a whole number from 1 to 8"),
    Bad(Folder, {"adapter": DICT}, "The adapter is a dict with image_proj, ip_adapter: connect the output of Load IP-"),
    Bad(Folder, {"tiles": TEXT}, "tiles along the short side is 'a word': give a whole number from 1 to 8"),
)
