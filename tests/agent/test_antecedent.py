"""What a question of a session leans on, over all that was asked before it, and what a session says of its own answers without a search."""

from __future__ import annotations

import pytest
from small_agent import TEXTS, picture, small_rag

from medrag.agent.antecedent import stated, understood
from medrag.agent.asking import unclear
from medrag.agent.chat import NOT_CLEAR
from medrag.agent.talk import pleasantry, shorter
from medrag.types import Passage, Study

EFFUSION = "Is there a pleural effusion?"
IMAGE = True
MORE_TEXTS = (
    *TEXTS,
    Passage("book:effusion~2", "book:effusion", "Pneumonia also causes pleural effusion.", title="Pleural effusion"),
)
CHATS = [  # what is asked in turn, and what each is understood as
    (IMAGE, [
        (EFFUSION, EFFUSION),
        ("which side?", "Which side is the pleural effusion on?"),
        ("since when?", "since when?"),
        ("and on the left?", "Is the pleural effusion on the left?"),
        ("how big is it?", "how big is the pleural effusion?"),
        ("what should I do?", "what should I do?"),
        ("what could cause it?", "what could cause the pleural effusion?"),
        ("what does that mean for the patient?", "what does the pleural effusion mean for the patient?"),
        ("what is the differential?", "What is the differential of the pleural effusion?"),
    ]),
    (IMAGE, [
        (EFFUSION, EFFUSION),
        ("what has changed?", "what has changed?"),
        ("which one is worse?", "which one is worse?"),
        ("what about the first image?", "Is there a pleural effusion in the first image?"),
        ("not even a small one?", "Is there a small pleural effusion?"),
    ]),
    (IMAGE, [
        ("Is the heart normal?", "Is the heart normal?"),
        ("What has changed?", "What has changed?"),
        ("and in the upper lobe?", "What has changed in the upper lobe?"),
        ("and on the left?", "What has changed on the left?"),
        ("right?", "What has changed on the right?"),
        ("how large?", "How large is the heart?"),
    ]),
    (IMAGE, [
        ("is it pneumonia?", "is it pneumonia?"),
        ("or could it be a mass?", "Is there a mass?"),
        ("and pleural effusion?", "Is there pleural effusion?"),
        ("which lobe?", "Which lobe is pleural effusion in?"),
        ("so there is no effusion?", "Is there effusion?"),
    ]),
    (IMAGE, [("Is there a mass?", "Is there a mass?"), ("Describe the image.", "Describe the image."), ("how big is it?", "how big is it?")]),
    (not IMAGE, [
        ("What is asthma?", "What is asthma?"),
        ("what about COPD?", "What is COPD?"),
        ("how do they differ?", "how do asthma and COPD differ?"),
        ("can it be prevented?", "can COPD be prevented?"),
        ("and in pregnancy?", "can COPD be prevented in pregnancy?"),
        ("and in children?", "can COPD be prevented in children?"),
    ]),
    (not IMAGE, [
        ("What are the symptoms of gout?", "What are the symptoms of gout?"),
        ("and in pregnancy?", "What are the symptoms of gout in pregnancy?"),
        ("how is it treated?", "how is gout in pregnancy treated?"),
        ("Is it hereditary?", "Is gout in pregnancy hereditary?"),
    ]),
    (not IMAGE, [
        ("My patient has gout. What are the symptoms?", "What are the symptoms of gout?"),
        ("And the treatment?", "What is the treatment of gout?"),
        ("Which foods should he avoid?", "Which foods should a patient with gout avoid?"),
        ("Does he have diabetes?", "Does he have diabetes?"),
    ]),
    (not IMAGE, [
        ("What is a pleural effusion, and what is pneumothorax?", "What is a pleural effusion, and what is pneumothorax?"),
        ("what causes it?", "what causes pneumothorax?"),
        ("what are the risk factors?", "What are the risk factors of pneumothorax?"),
        ("and for asthma?", "What are the risk factors of asthma?"),
    ]),
    (not IMAGE, [("He has gout.", "He has gout."), ("How is it treated?", "How is gout treated?")]),
    (not IMAGE, [
        ("Tell me about hepatitis B.", "Tell me about hepatitis B."),
        ("What's the treatment?", "What is the treatment of hepatitis B?"),
        ("How is it treated?", "How is hepatitis B treated?"),
        ("and diagnosed?", "How is hepatitis B diagnosed?"),
        ("Is there a cure?", "Is there a cure for hepatitis B?"),
        ("Is there a vaccine against it?", "Is there a vaccine against hepatitis B?"),
        ("and hepatitis C?", "Is there a vaccine against hepatitis C?"),
        ("how do you get it", "how do you get hepatitis C"),
        ("who is at risk?", "Who is at risk of hepatitis C?"),
        ("What causes this disease?", "What causes hepatitis C?"),
        ("prognosis", "What is the prognosis of hepatitis C?"),
        ("and for men?", "What is the prognosis of hepatitis C in men?"),
        ("how do they differ?", "how do hepatitis B and hepatitis C differ?"),
        ("Which is more common?", "Which is more common, hepatitis B or hepatitis C?"),
        ("how is the first one treated?", "how is hepatitis B treated?"),
        ("how is the second one treated?", "how is hepatitis C treated?"),
    ]),
    (not IMAGE, [
        ("I have a question about kidney stones.", "I have a question about kidney stones."),
        ("life expectancy?", "What is the life expectancy of kidney stones?"),
        ("how common?", "How common are kidney stones?"),
        ("and the diagnosis?", "How are kidney stones diagnosed?"),
        ("Which drugs are used?", "Which drugs are used to treat kidney stones?"),
        ("what are their side effects?", "What are the side effects of the treatment of kidney stones?"),
        ("Can they come back?", "Can kidney stones come back?"),
    ]),
    (not IMAGE, [
        ("What is the difference between Crohn's disease and ulcerative colitis?", "What is the difference between Crohn's disease and ulcerative colitis?"),
        ("Are both curable?", "Are Crohn's disease and ulcerative colitis curable?"),
        ("how is the first one treated?", "how is Crohn's disease treated?"),
    ]),
    (not IMAGE, [
        ("Which vitamin deficiency causes rickets?", "Which vitamin deficiency causes rickets?"),
        ("and scurvy?", "Which vitamin deficiency causes scurvy?"),
        ("epilepsy?", "epilepsy?"),
        ("is it dangerous?", "is epilepsy dangerous?"),
    ]),
    (not IMAGE, [("I have kidney stones. Which foods should I avoid?", "Which foods should I avoid with kidney stones?")]),
]  # fmt: skip


@pytest.mark.parametrize(("pictured", "turns"), CHATS)
def test_what_has_no_thing_of_its_own_does_not_hide_what_was_asked_before(pictured, turns):
    told, has = [], ""
    for asked, meant in turns:
        whole = understood(asked, told, has, pictured=pictured)
        assert whole == meant
        has = stated(asked) or has
        told += [] if unclear(whole) else [whole]


@pytest.mark.parametrize(
    "text", ["who is at risk?", "Is there a vaccine?", "What are the symptoms?", "Is it dangerous?"]
)
def test_what_names_nothing_is_not_searched_where_nothing_was_spoken_of(text):
    answer = small_rag().chat().ask(text)
    assert (answer.status, answer.reason) == ("abstained", NOT_CLEAR) and not answer.trace and "gout" in answer.text


@pytest.mark.parametrize("text", ["What is a gene?", "How do vaccines work?", "Which diseases are inherited?"])
def test_a_word_of_a_relation_may_itself_be_asked_about(text):
    assert small_rag().chat().ask(text).trace and understood(text, ["What is gout?"]) == text


def test_what_a_patient_is_said_to_have_is_a_short_name():
    assert stated("A 67-year-old woman with atrial fibrillation. Should she take warfarin?") == "atrial fibrillation"
    assert not stated("She has two children.") and not stated("I have no idea.")
    assert not stated("He has been coughing for weeks. Is there a mass?") and not stated("What is gout?")


def test_a_film_with_a_finding_is_not_called_normal_afterwards():
    chat = small_rag().chat()
    first = chat.ask(EFFUSION, picture("both"))
    assert first.text.startswith("Likely yes")
    for asked in ("so the film is normal?", "not even a small one?", "So nothing wrong?"):
        answer = chat.ask(asked)
        assert answer.text.startswith(f"No: asked “{EFFUSION}”, I answered “Likely yes")
        assert answer.citations == first.citations and len(chat.turns) == 1
    assert "asked" not in chat.ask("Is this image normal?", picture("clear")).text


def test_are_you_sure_tells_the_confidence_and_where_it_says_that():
    import dataclasses

    chat = small_rag().chat()
    question, answer = "What is a pleural effusion?", chat.ask("What is a pleural effusion?")
    assert "it was not calibrated" in chat.ask("are you sure?").text
    chat.turns[-1] = (question, dataclasses.replace(answer, confidence=0.876))
    for asked in ("are you sure?", "really?", "you said there was none", "you are wrong", "Are you wrong?"):
        told = chat.ask(asked)
        assert "with a confidence of 0.88" in told.text and "It cites [E1]" in told.text
        assert told.citations == answer.citations
    for asked in ("where does it say that?", "where did you get that from?"):
        assert chat.ask(asked).text.startswith("It cites [E1]")


def test_a_shorter_answer_is_the_beginning_of_the_last_one():
    chat = small_rag().chat()
    last = chat.ask("What causes a pleural effusion?")
    for asked in (
        "shorter please",
        "can you make it shorter?",
        "in one sentence please",
        "tl;dr",
        "briefly",
        "too long",
    ):
        answer = chat.ask(asked)
        assert last.text.startswith(answer.text.rstrip(".")[:20]) and answer.citations and len(chat.turns) == 1
    report = chat.ask("Write a report.", picture("both"))
    assert shorter(report).text and all(one in report.citations for one in shorter(report).citations)


def test_an_answer_is_given_once_more_and_the_first_one_too():
    chat = small_rag().chat()
    first, last = chat.ask("What is a pleural effusion?"), chat.ask("How is heart failure treated?")
    assert chat.ask("repeat that please").text == last.text and chat.ask("What did you say first?").text == first.text
    assert len(chat.turns) == 2


def test_what_else_asks_again_without_what_was_cited_until_nothing_is_left():
    chat = small_rag(texts=MORE_TEXTS).chat()
    first = chat.ask("What causes a pleural effusion?")
    again = [chat.ask(asked) for asked in ("what else?", "tell me more", "anything else?", "more")]
    cited = [one.item.id for answer in (first, *again) for one in answer.citations]
    assert first.citations and len(cited) == len(set(cited))
    assert (again[-1].status, again[-1].reason) == ("abstained", "nothing more was found")


def test_what_else_of_nothing_is_not_understood_and_of_no_answer_nothing_more():
    chat = small_rag().chat()
    assert chat.ask("what else?").reason == NOT_CLEAR
    assert chat.ask("What is the dose of quuxamine?").status == "abstained"
    assert chat.ask("what else?").reason == "nothing more was found"


@pytest.mark.parametrize("said", ["My father has heart failure.", "I have a question about heart failure."])
def test_what_is_brought_up_is_taken_down_and_asked_about_next(said):
    chat = small_rag().chat()
    noted = chat.ask(said)
    assert "heart failure" in noted.text and not noted.trace and noted.reason == "nothing was asked"
    answer = chat.ask("How is it treated?")
    assert answer.context.query.text == "How is heart failure treated?" and "furosemide" in answer.text


@pytest.mark.parametrize(
    "text",
    ["Thanks", "ok thank you, bye", "thank you very much!", "ok thanks", "OK", "great, thanks a lot", "Good.", "hi"],
)
def test_thanks_are_answered_politely_and_nothing_is_searched(text):
    chat = small_rag().chat()
    answer = chat.ask(text)
    assert answer.text.startswith(("You are welcome.", "All right.", "Hello.")) and not answer.trace and not chat.turns
    assert answer.reason == "nothing was asked"


@pytest.mark.parametrize("text", ["no", "Is it ok?", "left?", "thanks, is there a mass?", "Okay, and on the left?"])
def test_what_is_more_than_thanks_is_none(text):
    assert not pleasantry(text)


def test_what_has_changed_is_asked_of_the_patient_and_of_a_place_after_it():
    chat = small_rag().chat(patient="p0")
    said = [chat.ask(text).text for text in ("What has changed?", "and on the left?")]
    assert [asked for asked, _ in chat.turns] == ["What has changed?", "What has changed on the left?"]
    assert all("By the patient's reports" in text for text in said)
    assert understood("What has changed?", ["What is gout?"]) == "What has changed?"
    assert small_rag().chat().ask("What has changed?").reason == NOT_CLEAR


def test_what_was_compared_for_one_place_is_compared_anew_for_another():
    told = ("Left effusion. No right effusion.", "No left effusion. Right effusion.")
    studies = [Study(f"r:{n}", {"findings": text}, patient="p", date=f"2020-0{n}-01") for n, text in enumerate(told, 1)]
    chat = small_rag(studies=studies).chat(patient="p")
    left, right = (chat.ask(text).text for text in ("What has changed on the left?", "and on the right?"))
    assert "resolved: left effusion" in left and "right" not in left
    assert "new: right effusion" in right and "left" not in right
