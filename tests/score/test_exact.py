"""What shared words let pass: numbers, opposites, missing names, and effects for causes."""

from __future__ import annotations

import doctest

import pytest

from medrag.score import exact
from medrag.score.checked import Checked, check
from medrag.score.numbers import uncounted


def test_the_examples_in_the_docstrings() -> None:
    assert doctest.testmod(exact).failed == 0


@pytest.mark.parametrize(
    ("claim", "told", "missing"),
    [
        ("50% die", "50 per cent die", set()),
        ("5 % die", "0.5 % die", {"5 %"}),
        ("5 % die", "5 die", {"5 %"}),
        ("5 die", "5 % die", set()),  # a number alone may be of anything
        ("a 20 mm mass", "a mass of 2 cm", set()),
        ("a 2-cm mass", "a 5-cm mass", {"2-cm"}),
        ("5 mg/kg", "5 mg", {"5 mg/kg"}),
        ("0.5 g", "500 mg", set()),
        ("1,200 ml", "1.2 l", set()),
        ("5 mg to 10 mg", "5 to 10 mg", set()),  # the unit of a range is that of both
        ("the third rib", "the 3rd rib", set()),
        ("the 3rd rib", "the 7th rib", {"3rd"}),
        ("two lobes", "three lobes", {"two"}),
        ("five days", "5 weeks", {"five days"}),
        ("one of the lobes, first", "a lobe", set()),  # words that are no numbers as often
        ("first-line", "a drug", set()),
        ("1. No mass.", "No mass.", set()),  # the number of a point
        ("Impression: 2. No mass.", "No mass.", set()),
        ("12/2019", "12/2018", {"2019"}),
        ("del(5q)", "del(7q)", set()),  # a name, not a number
        ("9" * 400, "9" * 400, set()),
    ],
)
def test_numbers_with_their_units(claim: str, told: str, missing: set[str]) -> None:
    assert uncounted(claim, told) == missing


@pytest.mark.parametrize(
    ("claim", "told", "verdict"),
    [
        # advice
        ("Metformin is recommended in severe renal failure.", "Metformin should be avoided in severe renal failure.", "contradicted"),
        ("Metformin should be avoided in severe renal failure.", "Metformin is recommended in severe renal failure.", "contradicted"),
        ("Metformin should be given in severe renal failure.", "Metformin should not be given in severe renal failure.", "contradicted"),
        ("Metformin should be avoided in severe renal failure.", "Metformin is not recommended in severe renal failure.", "supported"),
        ("Metformin is contraindicated in severe kidney failure.", "Metformin should not be given in severe renal failure.", "supported"),
        ("Metformin is first-line.", "Metformin is contraindicated as first-line.", "contradicted"),
        ("Metformin is used in diabetes.", "Metformin is used in diabetes and contraindicated in renal failure.", "supported"),
        ("Metformin is used in renal failure.", "Metformin is used in diabetes and contraindicated in renal failure.", "contradicted"),
        ("Metformin is used in diabetes.", "Metformin is used in diabetes, but in renal failure it should be avoided.", "supported"),
        ("Vaccination should be avoided.", "Vaccination is recommended to avoid infection.", "absent"),
        ("Vaccination is recommended.", "Vaccination is recommended to avoid infection.", "supported"),
        # numbers
        ("About 5 % of patients with sepsis die.", "About 50 % of patients with sepsis die.", "absent"),
        ("About 50% of patients with sepsis die.", "About 50 percent of patients with sepsis die.", "supported"),
        ("The aneurysm measures 5 cm.", "The aneurysm measures 2 cm.", "absent"),
        ("The aneurysm measures 20 mm.", "The aneurysm measures 2 cm.", "supported"),
        ("It is 5 cm.", "It is 5 cm.", "supported"),
        # names
        ("The recommended first-line drug for pneumonia is amoxicillin.", "The recommended first-line drug for pneumonia is doxycycline.", "absent"),
        ("The first-line drug for pneumonia is doxycycline.", "The recommended first-line drug for pneumonia is doxycycline.", "supported"),
        ("Gout may be treated with allopurinol or febuxostat.", "Gout may be treated with allopurinol.", "absent"),
        ("Allopurinol is used to treat gout.", "Gout is treated with allopurinol.", "supported"),
        ("Hypokalaemia causes muscle weakness.", "Hyperkalaemia causes muscle weakness.", "absent"),
        ("Hypokalemia causes muscle weakness.", "Hypokalaemia causes muscle weakness.", "supported"),
        ("Acute hepatitis lasts for weeks.", "Chronic hepatitis lasts for weeks.", "absent"),
        ("Gout is common in women.", "Gout is common in men.", "absent"),
        ("Aspirin is not recommended for gout.", "Colchicine is recommended for gout.", "absent"),  # another drug
        ("Metformin causes lactic acidosis.", "Metformin is a biguanide. It causes lactic acidosis.", "supported"),
        ("Phenformin causes lactic acidosis.", "Metformin is a biguanide. It causes lactic acidosis.", "absent"),
        # opposites
        ("Insulin raises blood glucose.", "Insulin lowers blood glucose.", "contradicted"),
        ("Warfarin inhibits clotting factors.", "Warfarin activates clotting factors.", "contradicted"),
        ("Gout is common in women.", "Gout is rare in women.", "contradicted"),
        ("Pneumonia is common in women.", "Pneumonia is rare in women.", "contradicted"),
        ("Metoprolol lowers blood pressure.", "Metoprolol is used in high blood pressure.", "absent"),
        ("Metoprolol reduces blood pressure.", "Metoprolol lowers blood pressure.", "supported"),
        ("Aspirin does not raise the risk of bleeding.", "Aspirin raises the risk of bleeding.", "contradicted"),
        ("Aspirin lowers the risk of bleeding.", "Aspirin does not raise the risk of bleeding.", "absent"),  # turned round twice
        ("Aspirin always causes bleeding.", "Aspirin rarely causes bleeding.", "contradicted"),
        # order
        ("Surgery is better than radiotherapy.", "Radiotherapy is better than surgery.", "absent"),
        ("Lung cancer causes smoking.", "Smoking causes lung cancer.", "absent"),
        ("Smoking is caused by lung cancer.", "Lung cancer is caused by smoking.", "absent"),
        ("Smoking causes lung cancer.", "Lung cancer is caused by smoking.", "supported"),
        ("Stroke is a risk factor for gout.", "Gout is a risk factor for stroke.", "absent"),
        ("Gout increases the risk of stroke.", "Stroke increases the risk of gout.", "absent"),
        ("Protamine is reversed by heparin.", "Heparin is reversed by protamine.", "absent"),
        ("Protamine reverses heparin.", "Heparin is reversed by protamine.", "supported"),
        ("Blood pressure is raised with age.", "Age raises blood pressure.", "supported"),
        ("Rash is followed by fever.", "Fever is followed by rash.", "absent"),
        ("Group A died more often than group B.", "Group B died more often than group A.", "absent"),
        ("Gout is more common in men than in women.", "Gout is more common in women than in men.", "absent"),
        ("Radiotherapy is preferred over surgery.", "Surgery is preferred over radiotherapy.", "absent"),
        ("Symptoms are fever, rash and pain.", "Symptoms are pain, rash and fever.", "supported"),
        # of what it is said
        ("Phosphate is low in gout.", "Calcium is low and phosphate is high in gout.", "absent"),
        ("Calcium is low in gout.", "Calcium is low and phosphate is high in gout.", "supported"),
        ("Statins raise LDL.", "Statins lower LDL and raise HDL.", "absent"),
        ("Statins raise HDL.", "Statins lower LDL and raise HDL.", "supported"),
        ("The prognosis is good in women and poor in men.", "The prognosis is poor in women and good in men.", "absent"),
        ("Gout is rare in women.", "Gout is common in men, but rare in women.", "supported"),
        ("Aspirin is contraindicated in angina.", "Aspirin is used in angina but contraindicated in asthma.", "absent"),
        ("Aspirin is contraindicated in asthma.", "Aspirin is used in angina but contraindicated in asthma.", "supported"),
        ("ACE inhibitors raise potassium.", "ACE inhibitors lower potassium.", "contradicted"),
        ("Gout is often fatal.", "Gout is sometimes fatal.", "absent"),
        ("Rash is typical of gout.", "Rash is atypical of gout.", "contradicted"),
        # kinds and names
        ("Stage I gout is treated with surgery.", "Stage IV gout is treated with surgery.", "absent"),
        ("Stage I gout is treated with surgery.", "Stages I and II gout are treated with surgery.", "supported"),
        ("Hepatitis A spreads by food.", "Hepatitis E spreads by food.", "absent"),
        ("T2N1 cancer is treated with surgery.", "T2N0 cancer is treated with surgery.", "absent"),
        ("Hodgkin lymphoma causes fever.", "Non-Hodgkin lymphoma causes fever.", "absent"),
        ("Prophylaxis is started when CD4 > 200.", "Prophylaxis is started when CD4 < 200.", "absent"),
        ("Prophylaxis is started when CD4 < 200.", "Prophylaxis is started when CD4 is below 200.", "supported"),
        # as Britain spells
        ("Paralysed muscles need fibre.", "Paralyzed muscles need fiber.", "supported"),
        ("Diarrhoea is caused by rotavirus.", "Rotavirus causes diarrhea.", "supported"),
        ("Aspirin does not localise tumours.", "Aspirin localizes tumors.", "contradicted"),
    ],
)  # fmt: skip
def test_what_books_say(claim: str, told: str, verdict: str) -> None:
    assert check(claim, told).verdict == check(claim, told, "").verdict == verdict


@pytest.mark.parametrize(
    ("claim", "told", "verdict"),
    [
        ("A 5 cm mass in the right upper lobe.", "There is a 2 cm mass in the right upper lobe.", "absent"),
        ("A mass in the right upper lobe.", "There is a 2 cm mass in the right upper lobe.", "supported"),
        ("There is a fracture of the 3rd rib.", "There is a fracture of the 7th rib.", "absent"),
        ("There is a fracture of the third rib.", "There is a fracture of the 3rd rib.", "supported"),
        ("The effusion increased.", "The effusion decreased.", "absent"),
        ("Acute bronchitis.", "Chronic bronchitis.", "absent"),
        ("A 2 cm mass and a small effusion.", "Small effusion. There is a 2 cm mass.", "supported"),
        ("There is a fracture of T12.", "There is a fracture of L1.", "absent"),
        ("There is a displaced fracture.", "There is a nondisplaced fracture.", "absent"),
        ("The fracture is displaced.", "The fracture is not displaced.", "absent"),
        ("There is a mass anterior to the aorta.", "There is a mass posterior to the aorta.", "absent"),
        ("A calcified nodule.", "A calcified nodule.", "supported"),
    ],
)
def test_what_reports_say(claim: str, told: str, verdict: str) -> None:
    assert check(claim, told).verdict == verdict


def test_of_a_book_every_word_of_a_finding_counts() -> None:
    claim, told = "Pneumonia kills half of all children.", "Pneumonia is an infection of the lung."
    assert check(claim, told, "").verdict == "absent"
    assert check("Pneumonia infects the lung.", told, "").verdict == "supported"


def test_a_book_denies_one_kind_of_a_finding_without_another() -> None:
    claim, told = (
        f"Antibiotics are {words} bronchitis." for words in ("not indicated in viral", "indicated in bacterial")
    )
    assert check(claim, told, "").verdict == "absent"
    assert (
        check("Gout leads to stroke.", "Stroke is caused by gout.", "").verdict == "supported"
    )  # no pacemaker's leads


def test_a_title_names_what_its_text_goes_on_about() -> None:
    told = "Its deficiency causes anaemia."
    assert check("Vitamin B12 deficiency causes anemia.", told, "Vitamin B12").verdict == "supported"
    assert check("Vitamin B12 deficiency causes anemia.", told, "Vitamin B6").verdict == "absent"


def test_a_title_says_what_its_text_is_about() -> None:
    told = "It is contraindicated in severe renal failure."
    claim = "Metformin is contraindicated in severe renal failure."
    assert check(claim, told, "Metformin") == Checked("supported", told)
    assert check(claim, told, "Insulin").verdict == "absent"
