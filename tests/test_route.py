"""Routing: each witness, the margin, the kinds of question, and the choice not to retrieve."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from medrag import models
from medrag._util.fetch import package_file
from medrag._util.images import load_image
from medrag.encoders import open_encoder
from medrag.errors import ModelMissing, SettingsError
from medrag.pipeline import MedRAG
from medrag.retrieve.search import Memo
from medrag.route import DomainRouter, ImageHead, question_kind
from medrag.select import AdaptiveSelector
from medrag.settings import EncoderSettings, PipelineSettings, override
from medrag.testing import FakeGenerator, ListRetriever
from medrag.types import DOMAINS, Passage, Query, QueryImage

ALL = ("dense", "lexical", "similar", "graph")


class FixedVector:
    """Stands in for the image encoder: the vector it was given; it remembers what it looked at."""

    def __init__(self, vector):
        self.vector, self.looked = np.asarray(vector, dtype=np.float32), []

    def query(self, query):
        self.looked.append(query)
        return self.vector[None]


HEAD = ImageHead(
    ("chest-xray", "fundus"),
    weight=np.array([[9.0, 0, 0], [0, 9.0, 0]], dtype=np.float32),
    bias=np.zeros(2, dtype=np.float32),
    centroids=np.array([[1.0, 0, 0], [0, 1.0, 0]], dtype=np.float32),
    threshold=0.5,
)


def picture(**meta):
    return QueryImage(Image.new("L", (8, 8)), sha256="x", meta=meta)


def test_dicom_modality_and_body_part_decide():
    route = DomainRouter(ALL).route(Query("Is there a mass?", (picture(modality="CR", body_part="CHEST"),)))
    assert route.domain == "chest-xray"
    assert route.confidence == pytest.approx(0.9)
    assert DomainRouter(ALL).route(Query("", (picture(modality="DX", body_part="HAND"),))).domain == "other"
    assert DomainRouter(ALL).route(Query("", (picture(modality="MR", body_part="HEAD"),))).domain == "mr"


def test_image_head_speaks_and_notices_strangers():
    router = DomainRouter(ALL, head=HEAD, encoder=FixedVector([0.0, 1.0, 0.0]))
    assert router.route(Query("What is seen?", (picture(),))).domain == "fundus"
    stranger = DomainRouter(ALL, head=HEAD, encoder=FixedVector([0.0, 0.1, 0.99]))
    route = stranger.route(Query("What is this?", (picture(),)))
    assert (route.domain, route.confidence) == ("other", 1.0)
    assert not route.retrieves
    assert "no retrieval" in route.reasons[-1]


def test_words_decide_without_an_image():
    route = DomainRouter(ALL).route(Query("Where is the macula in a fundus photograph?"))
    assert route.domain == "fundus"
    assert route.weights["similar"] == 0
    assert route.weights["dense"] > 0


def test_under_the_margin_every_source_is_asked():
    route = DomainRouter(ALL, margin=0.3).route(Query("Retina or lung?"))
    assert route.domain == "other"
    assert any("all sources" in reason for reason in route.reasons)
    assert all(route.weights[name] > 0 for name in ("dense", "lexical", "graph"))


def test_small_talk_is_not_looked_up():
    assert not DomainRouter(ALL).route(Query("what is this?")).retrieves
    assert DomainRouter(ALL).route(Query("what is sarcoidosis?")).retrieves


def test_a_request_for_a_report_is_led_by_the_image_alone():
    weights = DomainRouter(ALL).route(Query("Write the findings and impression.", (picture(),))).weights
    assert weights == {"dense": 0.0, "lexical": 0.0, "similar": 1.0, "graph": 0.0}
    assert DomainRouter(ALL).route(Query("Write the findings of pneumonia.")).weights["dense"] > 0


def test_overrides_win():
    route = DomainRouter(ALL, overrides={"graph": 0.0}).route(Query("what is sarcoidosis?"))
    assert route.weights["graph"] == 0


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("Is there a mass?", "closed"),
        ("What is a mass?", "definition"),
        ("Write the findings.", "report"),
        ("Where is the lesion?", "open"),
        ("", "open"),
        ("Please give findings and impression", "report"),
        ("Findings, impression", "report"),
        ("Generate a report.", "report"),
        ("Describe the image.", "report"),
        ("Report on this film.", "report"),
        ("Draft a report.", "report"),
        ("What are the signs of a mass?", "definition"),
        ("What does sarcoidosis mean?", "definition"),
        ("Define sarcoidosis.", "definition"),
        ("Explain sarcoidosis.", "definition"),
        ("What causes a mass?", "open"),
        ("What's a mass?", "definition"),
        ("A man with cough and fever. Is there a pleural effusion?", "closed"),
        ("The patient has no fever, is there pneumonia?", "closed"),
        ("Isn't there a mass?", "closed"),
    ],
)
def test_kinds_of_question(question, kind):
    assert question_kind(question) == kind


@pytest.mark.parametrize(
    "question",
    [
        "What is in the right lung?", "What is the size of the heart?", "What is wrong?", "What is the location of the effusion?",
        "What is the abnormality in this film?", "What is seen at the left base?", "What does the brown stain mark?",
    ],
)  # fmt: skip
def test_with_a_picture_a_question_about_it_is_no_definition(question):
    route = DomainRouter(ALL).route(Query(question, (picture(),)))
    assert route.weights["similar"] == 1.0 and "kind of question: open" in route.reasons
    assert "kind of question: definition" in DomainRouter(ALL).route(Query(question)).reasons


@pytest.mark.parametrize("question", ["What is a pleural effusion?", "What is the optic disc?", "Define sarcoidosis."])
def test_with_a_picture_a_definition_stays_one(question):
    assert DomainRouter(ALL).route(Query(question, (picture(),))).weights["similar"] == 0.3


@pytest.mark.parametrize(
    "question",
    [
        "Is there degenerative disc disease of the spine?", "What is the diffusion capacity in emphysema?",
        "Does a T2 vertebral fracture heal?", "Should a granuloma get a biopsy?",
    ],
)  # fmt: skip
def test_a_word_of_many_domains_chooses_none(question):
    assert DomainRouter(ALL).route(Query(question)).domain == "other"


@pytest.mark.parametrize(
    ("question", "domain"), [("Is the optic disc pale?", "fundus"), ("Is it bright on a T2-weighted slice?", "mr")]
)
def test_a_word_of_one_domain_chooses_it(question, domain):
    assert DomainRouter(ALL).route(Query(question)).domain == domain


@given(st.text(max_size=60), st.booleans())
def test_any_question_gets_a_route(text, with_image):
    route = DomainRouter(ALL).route(Query(text, (picture(),) if with_image else ()))
    assert route.domain in DOMAINS
    assert 0 <= route.confidence <= 1
    assert set(route.weights) == set(ALL)
    assert with_image or route.weights["similar"] == 0
    assert route.reasons


def test_head_survives_saving(tmp_path):
    from safetensors.numpy import save_file

    tensors = {"weight": HEAD.weight, "bias": HEAD.bias, "centroids": HEAD.centroids, "threshold": np.array([0.5])}
    save_file(tensors, tmp_path / "head.safetensors", metadata={"labels": ",".join(HEAD.labels)})
    save_file(tensors, tmp_path / "eyes.safetensors", metadata={"labels": "a,b", "encoder": "some-eyes"})
    assert ImageHead.open(tmp_path / "eyes.safetensors").encoder == "some-eyes"
    opened = ImageHead.open(tmp_path / "head.safetensors")
    vector = np.array([0.8, 0.6, 0.0], dtype=np.float32)
    assert opened.labels == HEAD.labels
    assert opened.probabilities(vector) == HEAD.probabilities(vector)
    assert opened.encoder == ""
    (tmp_path / "other.safetensors").write_bytes(b"no head")
    for wrong in (tmp_path, tmp_path / "other.safetensors"):
        with pytest.raises(SettingsError, match="is no head of a router") as problem:
            ImageHead.open(wrong)
        assert problem.value.hint == "name one, such as router-lite2"
    assert sum(opened.probabilities(vector).values()) == pytest.approx(1.0)


def test_a_title_is_no_modality():
    for text in ("Does Mr Smith have pneumonia?", "Did Mr. Smith cough?"):
        assert DomainRouter(ALL).route(Query(text)).domain == "other"
    assert DomainRouter(ALL).route(Query("Is this an MR of the knee?")).domain == "mr"


@pytest.mark.parametrize("meta", [{"modality": "DX", "body_part": "HAND"}, {"modality": "ES"}])
def test_a_medical_file_of_no_named_domain_is_looked_up_all_the_same(meta):
    weights = DomainRouter(ALL).route(Query("Is there a fracture?", (picture(**meta),))).weights
    assert weights["similar"] > 0  # the user's own corpus may hold such images
    assert weights["dense"] > 0
    assert DomainRouter(ALL).route(Query("", (picture(**meta),))).retrieves


def test_retrievers_of_further_names_count_as_their_sort():
    router = DomainRouter(["similar-ct", "books"])
    assert router.route(Query("", (picture(),))).weights == {"similar-ct": 1.0, "books": 0.0}
    assert router.route(Query("Write the findings.", (picture(),))).weights["books"] == 0
    assert router.route(Query("Is there a mass?")).weights["similar-ct"] == 0


def test_a_class_may_have_several_centroids():
    centroids = np.array([[1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0]], dtype=np.float32)
    head = ImageHead(HEAD.labels, HEAD.weight, HEAD.bias, centroids, HEAD.threshold)
    vector = np.array([0.3, 0.0, 0.954], dtype=np.float32)
    assert HEAD.probabilities(vector) == {"other": 1.0}
    assert max(head.probabilities(vector).items(), key=lambda pair: pair[1])[0] == "chest-xray"


@given(st.lists(st.floats(-1, 1, width=32), min_size=3, max_size=3).filter(lambda v: np.linalg.norm(v) > 0.1))
def test_probabilities_are_of_domains_and_sum_to_one(values):
    vector = np.asarray(values, dtype=np.float32) / np.linalg.norm(values)
    found = HEAD.probabilities(vector)
    assert set(found) <= set(DOMAINS)
    assert sum(found.values()) == pytest.approx(1.0)
    assert ("other" in found) == (float((HEAD.centroids @ vector).max()) < HEAD.threshold)


def test_probabilities_are_the_softmax_of_weight_and_bias():
    head = ImageHead(HEAD.labels, np.eye(2, 3), np.array([0.0, 1.0]), HEAD.centroids, threshold=0.8)
    found = head.probabilities(np.array([0.6, 0.8, 0.0]))  # as like to a class as it has to be
    assert found == pytest.approx({"chest-xray": 1 / (1 + np.exp(1.2)), "fundus": 1 / (1 + np.exp(-1.2))})
    steep = ImageHead(HEAD.labels, HEAD.weight * 1000, HEAD.bias, HEAD.centroids, HEAD.threshold)
    assert steep.probabilities(np.array([1.0, 0.0, 0.0])) == {"chest-xray": 1.0, "fundus": 0.0}


@pytest.mark.parametrize(
    ("meta", "domain", "reason"),
    [
        ({"modality": "ct"}, "ct", "the file says CT: ct"),
        ({"modality": "DX", "body_part": "chest"}, "chest-xray", "the file says DX, CHEST: chest-xray"),
        ({"modality": "RG", "body_part": "THORAX"}, "chest-xray", "the file says RG, THORAX: chest-xray"),
        ({"modality": "XR", "body_part": "LEFT LUNG"}, "chest-xray", "the file says XR, LEFT LUNG: chest-xray"),
        ({"modality": "DX", "body_part": "HAND"}, "other", "the file says DX, HAND: other"),
    ],
)
def test_what_the_file_says_is_believed_and_told(meta, domain, reason):
    route = DomainRouter(ALL).route(Query("Where is it?", (picture(**meta),)))
    assert (route.domain, route.confidence) == (domain, 0.9)
    assert route.reasons == (reason, "kind of question: open")


@pytest.mark.parametrize("meta", [{}, {"modality": "DX"}, {"body_part": "CHEST"}, {"modality": "PT"}])
def test_a_file_that_does_not_say_enough_is_no_witness(meta):
    route = DomainRouter(ALL).route(Query("Where is it?", (picture(**meta),)))
    assert (route.domain, route.confidence) == ("other", 0.0)
    assert route.reasons == ("kind of question: open",)


@pytest.mark.parametrize(
    ("question", "domain", "confidence", "reason"),
    [
        ("Where is the lung?", "chest-xray", 0.6, "words of the question (chest-xray: lung)"),
        ("Where is the pleural lung?", "chest-xray", 0.84, "words of the question (chest-xray: lung, pleural)"),
        (
            "Where is retina or pleural lung?",
            "chest-xray",
            0.5833,  # of both, scaled to 1
            "words of the question (chest-xray: lung, pleural; fundus: retina)",
        ),
    ],
)
def test_more_words_more_confidence(question, domain, confidence, reason):
    route = DomainRouter(ALL).route(Query(question))
    assert (route.domain, route.confidence) == (domain, confidence)
    assert route.reasons == (reason, "kind of question: open")


def test_witnesses_that_agree_are_surer_than_each():
    query = Query("Where in the lung is it?", (picture(modality="CR", body_part="CHEST"),))
    assert DomainRouter(ALL).route(query).confidence == pytest.approx(1 - 0.1 * 0.4)


def test_the_image_is_looked_at_where_there_are_eyes_and_a_head():
    eyes = FixedVector([1.0, 0.0, 0.0])
    query = Query("Where is it?", (picture(),))
    assert (
        DomainRouter(ALL, head=HEAD, encoder=eyes).route(query).reasons[0] == "the image looks like chest-xray (1.00)"
    )
    assert eyes.looked == [query]
    for blind in (DomainRouter(ALL, head=HEAD), DomainRouter(ALL, encoder=eyes)):
        assert blind.route(query).reasons == ("kind of question: open",)
    DomainRouter(ALL, head=HEAD, encoder=eyes).route(Query("Where is it?"))
    assert eyes.looked == [query]


def test_a_lead_as_large_as_the_margin_is_enough():
    query = Query("", (picture(modality="CT"),))
    assert DomainRouter(ALL, margin=0.9).route(query).domain == "ct"
    assert DomainRouter(ALL, margin=0.91).route(query).domain == "other"


def test_what_is_no_domain_needs_no_lead():
    query = Query("Where is the pleural lung?", (picture(modality="DX", body_part="HAND"),))
    route = DomainRouter(ALL).route(query)
    assert route.domain == "other"
    assert not any("all sources" in reason for reason in route.reasons)
    assert DomainRouter(ALL, margin=0.0).route(Query("Where is it?")).domain == "other"


@pytest.mark.parametrize(
    ("query", "reasons"),
    [
        (Query("Is it a mass?"), ("kind of question: closed",)),
        (Query("Write the findings of pneumonia."), ("kind of question: open",)),  # there is nothing to report on
        (Query(" ", (picture(),)), ("no question",)),
        (
            Query("What is this?"),
            ("kind of question: definition", "nothing medical in image or question: no retrieval"),
        ),
    ],
)
def test_the_kind_of_question_is_told(query, reasons):
    assert DomainRouter(ALL).route(query).reasons == reasons


CHEST = {"modality": "CR", "body_part": "CHEST"}


@pytest.mark.parametrize(
    ("images", "vector", "shows"),
    [
        ((picture(**CHEST),), None, "chest-xray"),
        ((picture(**CHEST), picture(**CHEST)), None, ""),  # they may differ
        ((), None, ""),
        ((picture(),), [0.0, 1.0, 0.0], "fundus"),
        ((picture(),), [0.7, 0.7, 0.0], ""),  # the head is not sure
        ((picture(),), [0.0, 0.0, 1.0], "other"),
        ((picture(modality="ES"),), None, ""),  # no everyday picture, though of no domain
    ],
)
def test_what_the_pictures_surely_show_whatever_the_question_says(images, vector, shows):
    router = DomainRouter(ALL, head=HEAD, encoder=FixedVector(vector)) if vector else DomainRouter(ALL)
    for question in ("", "Is there a lung with a retina?"):
        assert router.route(Query(question, images)).shows == shows


def test_each_source_has_its_weight_by_the_kind_of_question():
    router = DomainRouter(["dense", "reports", "similar", "similar-ct", "books"])
    weights = router.route(Query("Is there a mass?", (picture(),))).weights
    assert weights == {"dense": 1.0, "reports": 0.5, "similar": 1.5, "similar-ct": 1.5, "books": 1.0}
    weights = router.route(Query("What is a mass?", (picture(),))).weights
    assert weights == {"dense": 1.0, "reports": 0.1, "similar": 0.3, "similar-ct": 0.3, "books": 1.0}


def test_pages_are_found_by_an_image_alone():
    assert DomainRouter(["pages", "books"]).route(Query("", (picture(),))).weights == {"pages": 1.0, "books": 0.0}


@pytest.fixture(scope="module")
def shipped():
    """The router that ships, with its own eyes."""
    try:
        encoder = open_encoder(EncoderSettings(model="efficientnet-lite2"))
    except ModelMissing as missing:
        pytest.skip(str(missing))
    head = ImageHead.open(models.resolve("router-lite2"))
    assert head.encoder == encoder.name
    assert set(head.labels) == set(DOMAINS)
    assert np.linalg.norm(head.centroids, axis=1) == pytest.approx(1, abs=1e-2)
    return DomainRouter(ALL, head=head, encoder=Memo(encoder))


@pytest.mark.parametrize(
    ("picture", "domain"),
    [
        ("pydicom-data/data_store/data/RG1_UNCR.dcm", "chest-xray"),
        ("scikit-image/skimage/data/retina.jpg", "fundus"),
        ("pydicom-data/data_store/data/RG3_UNCR.dcm", "other"),
        ("pydicom-data/data_store/data/US1_UNCR.dcm", "ultrasound"),
        ("scikit-image/skimage/data/astronaut.png", "other"),
        ("scikit-image/skimage/data/camera.png", "other"),
    ],
)
def test_the_shipped_head_knows_pictures_by_their_pixels(shipped, picture, domain):
    try:
        image = load_image(package_file(picture), max_side=1024).image
    except ModelMissing as missing:
        pytest.skip(str(missing))
    route = shipped.route(Query("", (QueryImage(image),)))  # without what the file says of itself
    assert route.domain == domain


def test_a_photograph_of_a_cat_answers_nothing_about_itself(shipped):
    try:
        cat, film = (
            package_file("scikit-image/skimage/data/chelsea.png"),
            package_file("pydicom-data/data_store/data/RG1_UNCR.dcm"),
        )
    except ModelMissing as missing:
        pytest.skip(str(missing))
    book = Passage("book:1~0", "book:1", "A pleural effusion is fluid in the pleural space.")
    rag = MedRAG(
        {"lexical": ListRetriever([book], "lexical")}, shipped, AdaptiveSelector(), FakeGenerator(["Fluid [E1]."])
    )
    for question in ("Is there a pleural effusion?", "What does this image show?", ""):
        answer = rag.answer(str(cat), question)
        assert answer.status == "abstained" and "no medical picture" in answer.reason
    assert rag.answer(str(cat), "What is a pleural effusion?").status == "answered"
    assert rag.answer(str(film), "Is there a pleural effusion?").status == "answered"
    wrong = rag.answer(str(film), "Is there a retinal haemorrhage?")
    assert wrong.status == "abstained" and "a chest film does not show" in wrong.reason


def test_whoever_knows_what_every_picture_is_says_so() -> None:
    router = DomainRouter(["similar", "lexical"], domain="blood-smear")
    query = Query("What cell is this?", (QueryImage(Image.new("L", (8, 8)), {}, "x"),))
    route = router.route(query)
    assert (route.domain, route.shows) == ("blood-smear", "blood-smear") and "by the settings" in " ".join(
        route.reasons
    )
    assert router.route(Query("What is a naevus?")).domain == "dermoscopy"
    with pytest.raises(SettingsError, match="domain"):
        override(PipelineSettings(), {"domain": "blood"})
