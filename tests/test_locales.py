"""The words in English and Chinese are complete, and those of the nodes are what their schemas say."""

from image_prompt.devtools.locales import ENGLISH, as_json, schema_words


def test_the_english_words_are_those_of_the_schemas():
    """`python dev.py locales` writes them."""
    assert ENGLISH.read_text(encoding="utf-8") == as_json(schema_words())
