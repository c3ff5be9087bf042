"""Messages about files that cannot be used are true, say each thing once, and say what to do."""

import pytest
from published import VIT_L, published

from image_prompt.ip_adapter import APPLIED_TO
from image_prompt.model_files.catalogue import BrokenCatalogue, Catalogue
from image_prompt.model_files.folders import ModelFolders
from image_prompt.model_files.index import Index, identify
from image_prompt.model_files.matching import Need, explain, resolve, table


@pytest.fixture
def index(tmp_path):
    (tmp_path / "ipadapter").mkdir()
    (tmp_path / "ipadapter" / "page.safetensors").write_text("<html>")
    index = Index(ModelFolders({"ipadapter": [tmp_path / "ipadapter"]}), types=("ipadapter",))
    yield index
    index.close()


@pytest.mark.parametrize("layout", ["ip-adapter_sd15", VIT_L])
def test_a_quantised_file_is_told_by_its_own_numbers(layout):
    problem = identify(published(layout, "I8")).problem
    assert "torch.int8" in problem
    assert "uint8" not in problem


def test_the_report_names_a_file_once(index):
    assert "- ipadapter/page.safetensors: is a web page" in str(table(index, Catalogue(())))


@pytest.mark.parametrize("need", [{"family": "plus"}, {"purpose": "plus"}])
def test_no_adapter_is_looked_for_that_cannot_exist(index, need):
    text = explain(resolve(Need("adapter", base_model="SD20", **need), index, Catalogue.load()), "The model is SD20.")
    assert text == (
        "The model is SD20.\n"
        f"IP-Adapters are applied to {', '.join(APPLIED_TO)} models here, not to SD20. "
        "Connect a model of one of these kinds."
    )


@pytest.mark.parametrize("content", ["{", '{"entries": [{"id": "mine"}]}'])
def test_a_broken_catalogue_says_where_it_lies_and_what_to_do(tmp_path, content):
    path = tmp_path / "user" / "mine.json"
    path.parent.mkdir()
    path.write_text(content)
    with pytest.raises(BrokenCatalogue, match=r"^mine\.json.*Correct user/mine\.json, or remove it: it only adds to"):
        Catalogue.load(path)
