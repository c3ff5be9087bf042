"""In a whole visit nothing of the pack complains, and nothing is asked of another host."""

SCENARIO = "quiet"
DEFAULT_GRAPH = "/Comfy-Org/z_image_turbo/"  # ComfyUI's first graph, whose models are looked for before ours is there


def test_nothing_of_the_pack_complains(visit):
    assert visit["complaints"] == []


def test_no_other_host_is_asked(visit):
    assert [url for url in visit["outside"] if DEFAULT_GRAPH not in url] == []
