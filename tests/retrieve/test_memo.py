"""The encoder that remembers its last query: it may save work, never change a result."""

import numpy as np
from PIL import Image

from medrag.retrieve.search import Memo
from medrag.testing import FakeEncoder
from medrag.types import Query, QueryImage


def grey(value, sha256=""):
    return Query("", (QueryImage(Image.new("L", (8, 8), value), sha256=sha256),))


def test_images_without_a_hash_are_not_taken_for_each_other():
    encoder = FakeEncoder("image")
    memo = Memo(encoder)
    for query in (grey(0), grey(200)):
        np.testing.assert_array_equal(memo.query(query), encoder.encode_queries([query]))


def test_the_last_query_is_not_encoded_again():
    memo = Memo(FakeEncoder("image"))
    first = memo.query(grey(0, "a"))
    assert memo.query(grey(0, "a")) is first
    assert memo.query(grey(9, "b")) is not first
