"""Readers of reports: Open-i, CSV, JSON lines, FHIR."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from hostile import OPENI, archive, png

from medrag._util.fetch import package_file
from medrag.corpora._report_parts import sections_of
from medrag.corpora.fhir import FhirReports
from medrag.corpora.reports import CsvReports, JsonlReports, OpenIReports
from medrag.errors import BadRecord, CorpusError, ModelMissing, SettingsError
from medrag.types import Study


def never(error: BadRecord) -> None:
    raise AssertionError(str(error))


def test_openi_reads_folder_and_archive_alike(tmp_path: Path) -> None:
    (tmp_path / "xml").mkdir()
    for uid in range(1, 13):
        (tmp_path / "xml" / f"{uid}.xml").write_text(OPENI.format(uid=uid))
    (tmp_path / "all.tgz").write_bytes(archive(12))
    folder = list(OpenIReports("o", tmp_path / "xml").read(never))
    packed = list(OpenIReports("o", tmp_path / "all.tgz").read(never))
    assert [s.id for s in folder] == [f"o:CXR{uid}" for uid in range(1, 13)] == [s.id for s in packed]
    first = folder[0]
    assert dict(first.sections) == {"findings": "Lungs are clear. XXXX.", "impression": "Normal chest."}
    assert first.labels == ("normal",) and first.images == ("o:CXR1#CXR1_IM-1",)
    assert first.text == "Lungs are clear. XXXX.\nNormal chest."


@pytest.mark.parametrize(("name", "content"), [("uids.txt", "3  # kept\nCXR5\n\n"), ("uids.json", '["3", "CXR5"]')])
def test_held_out_uids_never_come_out(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / "all.tgz").write_bytes(archive(12))
    (tmp_path / name).write_text(content)
    studies = list(OpenIReports("o", tmp_path / "all.tgz", uids=name).read(never))
    assert [s.id for s in studies] == ["o:CXR3", "o:CXR5"]
    with pytest.raises(CorpusError, match=r"nothere\.txt"):
        list(OpenIReports("o", tmp_path / "all.tgz", uids="nothere.txt").read(never))


def test_a_report_without_uid_never_passes_a_list(tmp_path: Path) -> None:
    (tmp_path / "3.xml").write_text(OPENI.format(uid=3).replace('<uId id="CXR3"/>', ""))
    (tmp_path / "4.xml").write_text(OPENI.format(uid=4))
    (tmp_path / "uids.txt").write_text("3\n4\n")
    errors: list[BadRecord] = []
    assert [s.id for s in OpenIReports("o", tmp_path, uids="uids.txt").read(errors.append)] == ["o:CXR4"]
    assert len(errors) == 1


def iu(folder: Path) -> Path:
    """A small IU-like folder: three studies, three images, one of them broken."""
    (folder / "images").mkdir(parents=True)
    for name, content in {"1_a.png": png(), "1_b.png": png(), "2_a.png": b""}.items():
        (folder / "images" / name).write_bytes(content)
    (folder / "reports.csv").write_text(
        'uid,MeSH,findings,impression,indication\n1,normal,"Clear, normal.",Normal.,\n2,Cardiomegaly/mild;Opacity,Big heart.,,cough\n3,,,Normal.,\n'
    )
    (folder / "projections.csv").write_text(
        "uid,image,projection\n1,1_a.png,Frontal\n1,1_b.png,Lateral\n2,2_a.png,Frontal\n"
    )
    (folder / "labels.csv").write_text("filename,Mass,normal\nCXR1,0,1\nCXR2,1,0\n")
    (folder / "splits.json").write_text('{"train": ["1", "2"], "val": ["3"]}')
    return folder


def test_csv_gives_studies_with_both_views(tmp_path: Path) -> None:
    errors: list[BadRecord] = []
    corpus = CsvReports("c", iu(tmp_path), projections="projections.csv", labels="labels.csv", prefix="CXR")
    items = list(corpus.read(errors.append))
    assert [i.id for i in items] == ["c:CXR1", "c:CXR1#1_a", "c:CXR1#1_b", "c:CXR2", "c:CXR3"]
    assert items[0].images == ("c:CXR1#1_a", "c:CXR1#1_b") and items[0].meta["positive"] == ["normal"]
    assert [(i.view, i.doc, i.text, i.domain) for i in items[1:3]] == [
        ("Frontal", "c:CXR1", "", "chest-xray"),
        ("Lateral", "c:CXR1", "", "chest-xray"),
    ]
    assert (
        items[3].labels == ("Cardiomegaly/mild", "Opacity")
        and items[3].images == ()
        and items[3].meta["positive"] == ["Mass"]
    )
    assert len(errors) == 1 and "2_a.png" in str(errors[0])


@pytest.mark.parametrize(("reports", "labels"), [("CXR", ""), ("CXR", "CXR"), ("", "CXR"), ("", "")])
def test_csv_labels_are_found_with_and_without_the_prefix(tmp_path: Path, reports: str, labels: str) -> None:
    (tmp_path / "reports.csv").write_text(f"uid,findings,impression\n{reports}1,Clear.,\n{reports}2,Big heart.,\n")
    (tmp_path / "labels.csv").write_text(f"filename,Mass,normal\n{labels}1,0,1\n{labels}2,1,0\n")
    found = list(CsvReports("c", tmp_path, labels="labels.csv").read(never))
    assert [study.meta["positive"] for study in found] == [["normal"], ["Mass"]]


def test_csv_splits_keep_and_leave_out(tmp_path: Path) -> None:
    folder = iu(tmp_path)
    keep = [s.id for s in CsvReports("c", folder, splits="splits.json", split="train").read(never)]
    rest = [s.id for s in CsvReports("c", folder, splits="splits.json", exclude_split="val").read(never)]
    assert keep == rest == ["c:1", "c:2"]
    for options in ({"splits": "splits.json", "split": "test"}, {"split": "train"}):
        with pytest.raises(CorpusError):
            list(CsvReports("c", folder, **options).read(never))


@pytest.mark.parametrize(("reports", "others"), [("", "CXR"), ("CXR", ""), ("", ""), ("CXR", "CXR")])
def test_csv_splits_and_images_are_found_with_and_without_the_prefix(tmp_path: Path, reports: str, others: str) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").write_bytes(png())
    (tmp_path / "reports.csv").write_text(f"uid,findings,impression\n{reports}1,Clear.,\n{reports}2,Mass.,\n")
    (tmp_path / "projections.csv").write_text(f"uid,image,projection\n{others}1,a.png,Frontal\n")
    (tmp_path / "splits.json").write_text(json.dumps({"test": [f"{others}2"]}))
    options = {"projections": "projections.csv", "splits": "splits.json"}
    study, image = CsvReports("c", tmp_path, exclude_split="test", **options).read(never)
    assert (study.id, study.images) == (f"c:{reports}1", (image.id,))
    assert [s.id for s in CsvReports("c", tmp_path, split="test", **options).read(never)] == [f"c:{reports}2"]


def test_uids_that_no_report_has_are_told_in_one_line_a_list(tmp_path: Path) -> None:
    (tmp_path / "reports.csv").write_text("uid,findings,impression\n1,Clear.,\n2,Mass.,\n")
    (tmp_path / "projections.csv").write_text("uid,image,projection\n8,a.png,Frontal\n9,a.png,Frontal\n")
    (tmp_path / "splits.json").write_text('{"test": ["2", "CXR30", "CXR4"]}')
    told: list[BadRecord] = []
    corpus = CsvReports("c", tmp_path, projections="projections.csv", splits="splits.json", exclude_split="test")
    assert [study.id for study in corpus.read(told.append)] == ["c:1"]
    assert [(bad.source, bad.problem) for bad in told] == [
        ("splits.json, test", "2 of its uids are those of no report, the first '4'"),
        ("projections.csv", "2 of its uids are those of no report, the first '8'"),
    ]


def test_two_files_of_one_stem_in_a_study_are_two_images(tmp_path: Path) -> None:
    for name in ("x/1.png", "y/1.png", "y/2.png"):
        (tmp_path / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "images" / name).write_bytes(png())
    (tmp_path / "reports.csv").write_text("uid,findings,impression\n1,Clear.,\n2,Mass.,\n")
    rows = "1,x/1.png,Frontal\n1,y/1.png,Lateral\n1,y/2.png,Lateral\n2,x/1.png,Frontal\n"
    (tmp_path / "projections.csv").write_text(f"uid,image,projection\n{rows}")
    studies = [s for s in CsvReports("c", tmp_path, projections="projections.csv").read(never) if s.kind == "study"]
    assert [s.images for s in studies] == [("c:1#x/1.png", "c:1#y/1.png", "c:1#2"), ("c:2#1",)]


def test_one_bad_row_of_a_table_costs_no_other(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    long = "clear lungs " * 12_000  # more than csv reads unasked
    rows = [
        b"uid,findings,impression", b'1,"two\nlines",x', b'7,"seen on "lateral" view",x', b"2,Erg\xfcsse,x", b"3,fine,x",
        b'4,"never closed,x', b"5,fine too,x", f"6,{long},x".encode(), b"8,short", b"9,last,x",
    ]  # fmt: skip
    path.write_bytes(b"\n".join(rows) + b"\n")
    told: list[BadRecord] = []
    studies = list(CsvReports("c", path).read(told.append))
    assert [study.id for study in studies] == ["c:1", "c:3", "c:5", "c:6", "c:9"]
    assert len(studies[3].sections["findings"]) > 131_072
    lines = [int(bad.source.rpartition(":")[2]) for bad in told]
    assert lines == [4, 5, 7, 10]
    words = ("no CSV", "not utf-8 text", "no CSV", "as many fields")
    assert all(word in bad.problem for word, bad in zip(words, told, strict=True))


@pytest.mark.parametrize("sign", [";", "\t", "|"])
def test_a_header_without_a_comma_tells_its_delimiter(sign: str, tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text(
        sign.join(("uid", "findings", "impression")) + "\n" + sign.join(("1", "clear, no mass", "none")) + "\n"
    )
    (study,) = CsvReports("c", path).read(never)
    assert study.sections == {"findings": "clear, no mass", "impression": "none"}
    with pytest.raises(SettingsError, match="no delimiter"):
        list(CsvReports("c", path, delimiter=";;").read(never))


def test_csv_columns_and_encoding_are_mapped(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_bytes("Nummer;Befund;Beurteilung\n7;Kein Erguß.;Normal.\n".encode("cp1252"))
    columns = {"uid": "Nummer", "findings": "Befund", "impression": "Beurteilung"}
    (study,) = CsvReports("c", path, encoding="cp1252", delimiter=";", columns=columns).read(never)
    assert study.id == "c:7" and study.sections["findings"] == "Kein Erguß."
    told: list[BadRecord] = []
    assert not list(CsvReports("c", path, delimiter=";", columns=columns).read(told.append))
    assert [bad.problem for bad in told] == ["the row is not utf-8 text"] and "encoding" in told[0].hint
    with pytest.raises(CorpusError, match="Nummer, Befund, Beurteilung → map the columns with the option columns"):
        list(CsvReports("c", path, encoding="cp1252", delimiter=";").read(never))
    with pytest.raises(SettingsError, match="finding"):
        list(CsvReports("c", path, columns={"finding": "Befund"}).read(never))


def test_one_table_of_images_and_reports_in_the_names_people_use(tmp_path: Path) -> None:
    for name in ("images/a1.png", "a2.png", "b.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(png())
    table = tmp_path / "r.csv"
    table.write_text(
        "Patient ID,Study-ID,Image Path,Findings,Impression\np1,s1,a1.png,A mass.,Mass.\np1,s1,a2.png,A mass.,Mass.\np2,s2,b.png;gone.png,Clear.,\n"
    )
    told: list[BadRecord] = []
    reader = CsvReports("c", table)
    first, *films, second, last = reader.read(told.append)
    assert isinstance(first, Study) and isinstance(second, Study)
    assert (first.id, first.patient, first.images) == ("c:s1", "p1", ("c:s1#a1", "c:s1#a2"))
    assert [film.id for film in (*films, last)] == ["c:s1#a1", "c:s1#a2", "c:s2#b"]
    assert second.sections == {"findings": "Clear."} and len(told) == 1 and "gone.png" in str(told[0])
    before = reader.signature()
    (tmp_path / "b.png").write_bytes(png(30, 20))
    assert reader.signature() != before
    table.write_text("image,report\na1.png,INDICATION: cough. FINDINGS: Clear lungs. IMPRESSION: Normal.\n")
    study, film = CsvReports("c", table).read(never)
    assert (study.id, study.sections["findings"], study.sections["impression"]) == ("c:a1", "Clear lungs.", "Normal.")
    assert film.doc == "c:a1"


def test_patients_whose_files_are_called_alike_stay_apart(tmp_path: Path) -> None:
    for n in (17, 18, 19):
        (tmp_path / f"{n}").mkdir()
        (tmp_path / f"{n}/pa.png").write_bytes(png())
    (tmp_path / "r.csv").write_text(
        "patient,image,findings\n17,17/pa.png,Clear.\n18,18/pa.png,Clear.\n19,19/pa.png,A mass.\n"
    )
    studies = [item for item in CsvReports("c", tmp_path / "r.csv").read(never) if isinstance(item, Study)]
    assert [(one.id, one.patient, one.images) for one in studies] == [
        (f"c:{n}/pa", str(n), (f"c:{n}/pa#pa",)) for n in (17, 18, 19)
    ]


def test_the_image_of_a_row_that_is_left_out_goes_with_it(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(png())
    (tmp_path / "r.csv").write_text("uid,image,findings,impression\n1,a,A mass.,\n1,b,Clear.,\n")
    told: list[BadRecord] = []
    study, film = CsvReports("c", tmp_path / "r.csv").read(told.append)
    assert isinstance(study, Study) and study.images == (film.id,) == ("c:1#a",) and len(told) == 1


def test_a_name_that_no_file_can_have_is_one_image_skipped(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text(
        f"uid,image,report\n1,{'a' * 300}.png,Clear.\n2,b.png,A mass.\n"
    )  # found by the fuzzer
    told: list[BadRecord] = []
    assert [item.id for item in CsvReports("c", tmp_path / "r.csv").read(told.append)] == ["c:1", "c:2"] and len(
        told
    ) == 2


def test_words_about_an_image_name_no_file_and_a_second_table_counts_first(tmp_path: Path) -> None:
    table = tmp_path / "r.csv"
    table.write_text("uid,image,findings,impression\n1,Xray Chest PA and Lateral,Clear.,Normal.\n")
    (study,) = CsvReports("c", table).read(never)
    assert study.images == ()
    table.write_text("uid,image,findings,impression\n1,a.png,Clear.,Normal.\n1,b.png,Clear.,Normal.\n")
    (tmp_path / "p.csv").write_text("uid,filename\n1,c.png\n")
    told: list[BadRecord] = []
    list(CsvReports("c", table, projections="p.csv").read(told.append))
    assert [bad.problem.partition(" ")[0] for bad in told if "c.png" in str(bad)] and any(
        "second time" in str(bad) for bad in told
    )


def test_csv_rows_that_repeat_a_uid_are_reported(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("uid,findings,impression\n1,a,b\n1,c,d\n,e,f\n2,g,h\n")
    errors: list[BadRecord] = []
    assert [s.id for s in CsvReports("c", tmp_path / "r.csv").read(errors.append)] == ["c:1", "c:2"]
    assert [e.source.rpartition(":")[2] for e in errors] == ["3", "4"]


def test_signature_changes_with_content_and_settings(tmp_path: Path) -> None:
    folder = iu(tmp_path)
    signs = [CsvReports("c", folder, projections="projections.csv").signature() for _ in range(2)]
    (folder / "images" / "1_b.png").write_bytes(png(30, 20))
    signs.append(CsvReports("c", folder, projections="projections.csv").signature())
    signs.append(CsvReports("c", folder, projections="projections.csv", prefix="X").signature())
    assert signs[0] == signs[1] and len(set(signs)) == 3


def test_jsonl_takes_sections_fields_or_text(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png())
    lines = [
        {"id": "a", "sections": {"Findings": "Clear."}, "images": ["a.png"], "patient": "P", "date": "2024-01-02"},
        {"id": "b", "findings": "Big heart.", "impression": "Cardiomegaly.", "labels": ["Cardiomegaly"]},
        {"id": "c", "text": "INDICATION: cough\nFINDINGS: Mass.\nIMPRESSION: Tumour?"},
    ]
    (tmp_path / "r.jsonl").write_text("\n".join(map(json.dumps, lines)))
    items = list(JsonlReports("j", tmp_path / "r.jsonl").read(never))
    assert [i.id for i in items] == ["j:a", "j:a#a.png", "j:b", "j:c"]
    assert items[0].sections == {"findings": "Clear."} and items[0].patient == "P" and items[0].date == "2024-01-02"
    assert items[3].sections == {"indication": "cough", "findings": "Mass.", "impression": "Tumour?"}


def test_jsonl_keeps_sections_of_any_name_and_the_id_0(tmp_path: Path) -> None:
    sections = {"Procedure": "A probe.", "History": "Cough.", "Conclusions": "No mass.", "impression": "Normal."}
    (tmp_path / "r.jsonl").write_text(json.dumps({"id": 0, "sections": sections}))
    (study,) = JsonlReports("j", tmp_path / "r.jsonl").read(never)
    assert study.id == "j:0"
    assert study.sections == {"procedure": "A probe.", "indication": "Cough.", "impression": "No mass. Normal."}


def test_a_json_line_of_another_encoding_costs_itself_alone(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_bytes(
        b'{"id": 1, "findings": "Clear."}\n{"id": 2, "findings": "Erg\xfcsse."}\n{"id": 3, "findings": "Fine."}\n'
    )
    told: list[BadRecord] = []
    assert [study.id for study in JsonlReports("c", path).read(told.append)] == ["c:1", "c:3"]
    assert [bad.source for bad in told] == [f"{path}:2"] and "not utf-8 text" in told[0].problem


def test_a_json_line_with_a_nul_byte_costs_itself_alone(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_bytes(
        b'{"id": 1, "findings": "Clear."}\n{"id": 2, "findings": "a\0b"}\n{"id": 3, "findings": "Fine."}\n'
    )
    told: list[BadRecord] = []
    assert [study.id for study in JsonlReports("c", path).read(told.append)] == ["c:1", "c:3"]
    assert [bad.source for bad in told] == [f"{path}:2"] and "NUL" in told[0].problem


def test_jsonl_names_only_images_that_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png())
    (tmp_path / "r.jsonl").write_text(json.dumps({"id": "a", "text": "Mass.", "images": ["gone.png", "a.png"]}))
    reader, errors = JsonlReports("j", tmp_path), list[BadRecord]()
    study, *images = reader.read(errors.append)
    assert study.images == ("j:a#a.png",) == tuple(image.id for image in images)
    assert study.meta["paths"] == [str(tmp_path / "a.png")] and len(errors) == 1
    before = reader.signature()
    (tmp_path / "a.png").write_bytes(png(30, 20))
    assert reader.signature() != before


def test_sections_of_a_text() -> None:
    assert sections_of("Clear lungs.") == {"findings": "Clear lungs."}
    assert sections_of("Clinical History: fall\nFinding: none\nConclusion: normal") == {
        "indication": "fall",
        "findings": "none",
        "impression": "normal",
    }
    assert sections_of("The findings: as before") == {"findings": "The findings: as before"}
    assert sections_of("") == {}


@pytest.mark.parametrize(
    ("text", "sections"),
    [
        (
            "INDICATION: cough. COMPARISON: None. FINDINGS: There is a 3 cm mass. IMPRESSION: Mass.",
            {"indication": "cough.", "comparison": "None.", "findings": "There is a 3 cm mass.", "impression": "Mass."},
        ),
        ("INDICATION: cough FINDINGS: A mass. IMPRESSION: Mass", {"indication": "cough", "findings": "A mass.", "impression": "Mass"}),
        ("COMPARISON: none\nREPORT: There is a mass.", {"comparison": "none", "findings": "REPORT: There is a mass."}),
        (
            "TECHNIQUE:\nCT of the chest.\nLUNGS: A mass.\nHEART: Normal.\nCONCLUSION: Mass.",
            {"technique": "CT of the chest.", "findings": "LUNGS: A mass.\nHEART: Normal.", "impression": "Mass."},
        ),
        ("Clinical history: cough\r\n\r\nThere is a mass.", {"indication": "cough", "findings": "There is a mass."}),
        ("History:\n\ncough\nConclusion: mass", {"indication": "cough", "impression": "mass"}),
        ("REASON FOR EXAM: mass?\nFINDINGS: none", {"indication": "mass?", "findings": "none"}),
        ("INDICATION: COPD: worse\nFINDINGS: none", {"indication": "COPD: worse", "findings": "none"}),
        ("IMPRESSION: Mass.\nADVICE: A CT.", {"impression": "Mass.\nADVICE: A CT."}),
        ("FINDINGS: NO OTHER FINDINGS: CLEAR", {"findings": "NO OTHER FINDINGS: CLEAR"}),
    ],
)  # fmt: skip
def test_no_section_swallows_what_is_seen(text: str, sections: dict[str, str]) -> None:
    assert sections_of(text) == sections


def test_a_report_without_findings_and_impression_is_told_and_kept(tmp_path: Path) -> None:
    path, told = tmp_path / "r.jsonl", list[BadRecord]()
    path.write_text('{"id": 1, "text": "INDICATION: cough, a mass is seen"}\n{"id": 2, "text": "A mass."}\n')
    assert [study.id for study in JsonlReports("j", path).read(told.append)] == ["j:1", "j:2"]
    assert [bad.source for bad in told] == [f"{path}:1"] and "only indication" in told[0].problem
    data = base64.b64encode(b"TECHNIQUE: CT").decode()
    report = {"resourceType": "DiagnosticReport", "id": "r", "presentedForm": [{"data": data}]}
    (tmp_path / "a.json").write_text(json.dumps(report))
    assert [study.id for study in FhirReports("f", tmp_path / "a.json").read(told.append)] == ["f:r"]
    assert len(told) == 2 and "only technique" in told[1].problem


def test_fhir_resource_bundle_and_ndjson(tmp_path: Path) -> None:
    data = base64.b64encode(b"FINDINGS: Clear lungs.\nIMPRESSION: old").decode()
    resource = {
        "resourceType": "DiagnosticReport", "id": "r1", "status": "final", "code": {"text": "Chest X-ray"}, "conclusion": "Normal chest.",
        "subject": {"reference": "Patient/p1"}, "effectiveDateTime": "2024-05-06T07:08:09Z", "presentedForm": [{"contentType": "text/plain; charset=utf-8", "data": data}],
        "conclusionCode": [{"coding": [{"display": "Normal"}]}],
    }  # fmt: skip
    narrative = {
        "resourceType": "DiagnosticReport",
        "id": "r2",
        "text": {"div": "<div><p>FINDINGS: A &amp; B.</p><p>IMPRESSION: C.</p></div>"},
    }
    (tmp_path / "a.json").write_text(
        json.dumps(
            {
                "resourceType": "Bundle",
                "entry": [{"resource": resource}, {"resource": {"resourceType": "Patient", "id": "p1"}}],
            }
        )
    )
    (tmp_path / "b.ndjson").write_text(json.dumps(narrative) + "\n")
    first, second = FhirReports("f", tmp_path, domain="chest-xray").read(never)
    assert (
        first.id == "f:r1"
        and first.patient == "p1"
        and first.date.startswith("2024-05-06")
        and first.labels == ("Normal",)
    )
    assert (
        first.sections == {"findings": "Clear lungs.", "impression": "Normal chest. old"}
        and first.meta["code"] == "Chest X-ray"
    )
    assert second.sections == {"findings": "A & B.", "impression": "C."}


def fhir(identity: str, text: str | bytes = "", kind: str = "text/plain", **fields: object) -> dict[str, object]:
    data = base64.b64encode(text.encode() if isinstance(text, str) else text).decode()
    form = {"presentedForm": [{"contentType": kind, "data": data}]} if text else {}
    return {"resourceType": "DiagnosticReport", "id": identity, **form, **fields}


def studies_of(path: Path, *resources: object) -> list[Study]:
    path.write_text(json.dumps({"resourceType": "Bundle", "entry": [{"resource": one} for one in resources]}))
    return [item for item in FhirReports("f", path).read(never) if isinstance(item, Study)]


def test_fhir_bundles_are_read_inside_bundles_and_lists(tmp_path: Path) -> None:
    inner = {"resourceType": "Bundle", "entry": [{"resource": fhir("b", "Inner.")}, {"resource": fhir("c", "Last.")}]}
    found = studies_of(tmp_path / "a.json", fhir("a", "First."), inner, fhir("d", "After."))
    assert [study.id for study in found] == ["f:a", "f:b", "f:c", "f:d"]
    (tmp_path / "b.JSON").write_text(
        json.dumps([inner, [inner | {"entry": [{"resource": fhir("e", "Listed.")}]}]], indent=1)
    )
    assert [study.id for study in FhirReports("f", tmp_path / "b.JSON").read(never)] == ["f:b", "f:c", "f:e"]


@pytest.mark.parametrize(
    ("conclusion", "impression"),
    [
        ("Normal.", "Normal. 1. Mass in the left lung. 2. Effusion."),
        ("Effusion. 1. Mass in the left lung. 2. Effusion", "Effusion. 1. Mass in the left lung. 2. Effusion"),
        ("1. Mass in the left lung", "1. Mass in the left lung. 2. Effusion."),
        ("Effusion", "Effusion. 1. Mass in the left lung. 2. Effusion."),
    ],
)
def test_a_conclusion_takes_nothing_from_the_impression(tmp_path: Path, conclusion: str, impression: str) -> None:
    text = "FINDINGS: as said.\nIMPRESSION: 1. Mass in the left lung. 2. Effusion."
    (study,) = studies_of(tmp_path / "a.json", fhir("a", text, conclusion=conclusion))
    assert study.sections == {"findings": "as said.", "impression": impression}


def test_fhir_attachments_are_read_by_their_type_and_charset(tmp_path: Path) -> None:
    html = "<html><head><title>Rep</title><style>p {color: red}</style></head><!-- no > mass --><p>Clear.<script>x()</script></p>"
    studies = studies_of(
        tmp_path / "a.json",
        fhir("latin", "Pleuraerguß".encode("latin-1"), "text/plain; charset=ISO-8859-1"),
        fhir("upper", "Großer Erguß", 'TEXT/PLAIN; Charset="UTF-8"'),
        fhir("html", html, "text/html"),
    )
    assert [study.text for study in studies] == ["Pleuraerguß", "Großer Erguß", "Clear."]
    (tmp_path / "b.ndjson").write_text(json.dumps(fhir("odd", "Clear.", "text/plain; charset=klingon")))
    told: list[BadRecord] = []
    assert not list(FhirReports("f", tmp_path / "b.ndjson").read(told.append))
    assert len(told) == 1 and "klingon" in told[0].problem


def test_a_fhir_patient_is_one_however_it_is_referred_to(tmp_path: Path) -> None:
    references = ("Patient/7", "http://h/fhir/Patient/7", "Patient/7/_history/2", "urn:uuid:7")
    resources = [fhir(str(n), "Clear.", subject={"reference": one}) for n, one in enumerate(references)]
    assert [study.patient for study in studies_of(tmp_path / "a.json", *resources)] == ["7", "7", "7", "urn:uuid:7"]


@pytest.mark.parametrize(
    ("told", "domain"),
    [
        ({"code": {"text": "Chest X-ray"}}, "chest-xray"),
        ({"code": {"coding": [{"system": "http://loinc.org", "code": "36643-5", "display": "XR Chest 2 Views"}]}}, "chest-xray"),
        ({"code": {"text": "Chest PA and lateral"}, "category": [{"coding": [{"code": "RAD"}]}]}, "chest-xray"),
        ({"code": {"text": "Chest"}, "category": [{"coding": [{"code": "CT"}]}]}, "ct"),
        ({"code": {"coding": [{"display": "MR Brain WO contrast"}]}}, "mr"),
        ({"code": {"text": "Abdomen"}, "category": {"coding": [{"code": "RUS"}]}}, "ultrasound"),
        ({"code": {"text": "XR Hand 3 Views"}}, "other"),
        ({}, "other"),
    ],
)  # fmt: skip
def test_a_fhir_report_is_of_the_domain_that_its_code_or_category_says(tmp_path: Path, told: dict, domain: str) -> None:
    (study,) = studies_of(tmp_path / "a.json", fhir("r", "Clear.", **told))
    assert study.domain == domain
    (study,) = FhirReports("f", tmp_path / "a.json", domain="fundus").read(never)
    assert isinstance(study, Study) and study.domain == "fundus"


def test_a_fhir_report_keeps_the_numbers_of_its_imaging_study(tmp_path: Path) -> None:
    accession = {"type": {"coding": [{"code": "ACSN"}]}, "system": "urn:acc", "value": "A1"}
    first, second, third = studies_of(
        tmp_path / "a.json",
        fhir(
            "a",
            "Clear.",
            identifier=[{"value": "X"}, accession],
            imagingStudy=[{"reference": "ImagingStudy/1.2.840.9"}],
        ),
        fhir(
            "b",
            "Clear.",
            basedOn=[{"identifier": accession}],
            imagingStudy=[{"identifier": {"value": "urn:oid:1.2.3"}}],
        ),
        fhir("c", "Clear.", identifier=[{"value": "X"}], imagingStudy=[{"reference": "ImagingStudy/77"}]),
    )
    assert (first.meta["accession"], first.meta["study_uid"]) == ("A1", "1.2.840.9")
    assert (second.meta["accession"], second.meta["study_uid"]) == ("A1", "1.2.3")
    assert not {"accession", "study_uid"} & third.meta.keys()


@pytest.mark.parametrize(
    "change",
    [
        {"subject": "p"},
        {"identifier": ["A1"]},
        {"category": ["RAD"]},
        {"imagingStudy": "ImagingStudy/1"},
        {"presentedForm": 4},
        {"code": []},
        {"text": "words"},
        {"conclusionCode": [1]},
        {"presentedForm": [{"data": "%%%"}]},
    ],
)
def test_fhir_of_the_wrong_shape_is_one_clear_error(tmp_path: Path, change: dict[str, object]) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"resourceType": "DiagnosticReport", "id": "r", **change}))
    errors: list[BadRecord] = []
    assert list(FhirReports("f", tmp_path).read(errors.append)) == []
    assert len(errors) == 1 and errors[0].hint


@pytest.mark.parametrize("status", ["entered-in-error", "cancelled"])
def test_fhir_leaves_withdrawn_reports_out(tmp_path: Path, status: str) -> None:
    one = {"resourceType": "DiagnosticReport", "id": "r", "status": "final", "conclusion": "Large mass."}
    (tmp_path / "a.ndjson").write_text(json.dumps(one) + "\n" + json.dumps({**one, "id": "w", "status": status}))
    errors: list[BadRecord] = []
    assert [item.id for item in FhirReports("f", tmp_path).read(errors.append)] == ["f:r"]
    assert len(errors) == 1 and status in errors[0].problem


def test_golden_openi_of_the_registry_package() -> None:
    try:
        path = package_file("torchxrayvision/torchxrayvision/data/NLMCXR_reports.tgz")
    except ModelMissing as error:
        pytest.skip(str(error))
    studies = list(OpenIReports("openi", path).read(never))
    assert len(studies) == 3955 == len({s.id for s in studies})
    assert [studies[i].id for i in (0, 9, -1)] == ["openi:CXR1", "openi:CXR1006", "openi:CXR999"]
    assert studies[0].sections["impression"] == "Normal chest x-XXXX." and studies[0].labels == ("normal",)
    assert sum(len(s.images) for s in studies) == 7470


def test_columns_may_be_called_as_dicom_calls_its_elements(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text(
        "AccessionNumber,StudyInstanceUID,PatientID,StudyDate,findings,impression\nA1,1.2.3,P1,20200105,Clear.,Normal.\n"
    )
    (study,) = CsvReports("c", path).read(never)
    assert isinstance(study, Study)
    assert (study.id, study.patient, study.date) == ("c:A1", "P1", "20200105")
