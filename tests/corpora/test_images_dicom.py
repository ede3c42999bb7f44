"""Image folders and DICOM folders."""

from __future__ import annotations

from pathlib import Path

import pytest
from hostile import dicom, png
from PIL import Image

from medrag._util.dicom import read_dataset
from medrag.corpora import check
from medrag.corpora.dicom import DicomFolder, domain_of
from medrag.corpora.images import ImageFolder
from medrag.errors import BadRecord, CorpusError


def never(error: BadRecord) -> None:
    raise AssertionError(str(error))


def test_folder_names_are_labels_in_natural_order(tmp_path: Path) -> None:
    for name in (
        "10 - ADED/b.png",
        "2 - Mild DR/a.png",
        "2 - Mild DR/a10.png",
        "2 - Mild DR/a9.png",
        ".hidden/x.png",
        "top.png",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(png())
    items = list(ImageFolder("f", tmp_path, domain="fundus").read(never))
    assert [(i.id, i.text) for i in items] == [
        ("f:2 - Mild DR/a9.png", "Mild DR"), ("f:2 - Mild DR/a10.png", "Mild DR"), ("f:2 - Mild DR/a.png", "Mild DR"),
        ("f:10 - ADED/b.png", "ADED"), ("f:top.png", ""),
    ]  # fmt: skip
    assert {i.domain for i in items} == {"fundus"} and items[0].meta["columns"] == 24


def test_table_gives_captions_studies_and_domains(tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "c.png"):
        (tmp_path / name).write_bytes(png())
    (tmp_path / "t.csv").write_text("img,text,case,site\na.png,A lesion.,s1,dermoscopy\nb,Another.,s1,\ngone,x,s2,\n")
    errors: list[BadRecord] = []
    columns = {"file": "img", "caption": "text", "study": "case", "domain": "site"}
    items = list(ImageFolder("d", tmp_path, table="t.csv", columns=columns).read(errors.append))
    assert [(i.text, i.doc, i.domain) for i in items] == [
        ("A lesion.", "d:s1", "dermoscopy"),
        ("Another.", "d:s1", "other"),
        ("", "d:c.png", "other"),
    ]
    assert len(errors) == 1 and "1 rows" in str(errors[0]) and "gone" in str(errors[0])
    with pytest.raises(CorpusError, match="no column 'nope'"):
        list(ImageFolder("d", tmp_path, table="t.csv", columns={"file": "img", "caption": "nope"}).read(never))


def test_columns_may_be_called_what_people_call_them(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(png())
    (tmp_path / "t.csv").write_text("Image ID,dx,Patient-ID\na,nevus,p1\nb,melanoma,p2\n")
    reader = ImageFolder("d", tmp_path, table="t.csv")
    items = list(reader.read(never))
    assert [(i.text, i.meta["label"], i.meta["patient"]) for i in items] == [
        ("nevus", "nevus", "p1"),
        ("melanoma", "melanoma", "p2"),
    ]
    (tmp_path / "t.csv").write_text("file,dx,label\na,nevus,benign\nb,melanoma,malignant\n")
    assert [i.text for i in reader.read(never)] == ["benign", "malignant"]  # its own name comes first
    (tmp_path / "t.csv").write_text("file,dx,label\na,nevus,4\nb,melanoma,5\n")
    assert [i.text for i in reader.read(never)] == ["nevus", "melanoma"]  # unless it holds bare numbers


def put(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(png())


def test_a_picture_never_gets_the_row_of_another_file(tmp_path: Path) -> None:
    put(tmp_path, "1.png", "a/1.png", "b/1.png", "c/2.jpg", "c/2.png", "d/3.png")
    (tmp_path / "t.csv").write_text(
        "file,caption,patient\n1.png,Root.,PR\na/1.png,In a.,PA\n3,Three.,P3\nc/2,Two.,P2\n"
    )
    told: list[BadRecord] = []
    items = list(ImageFolder("d", tmp_path, table="t.csv").read(told.append))
    assert [(i.id, i.text, i.meta.get("patient")) for i in items] == [
        ("d:1.png", "Root.", "PR"), ("d:a/1.png", "In a.", "PA"), ("d:b/1.png", "b", None), ("d:c/2.jpg", "c", None),
        ("d:c/2.png", "c", None), ("d:d/3.png", "Three.", "P3"),
    ]  # fmt: skip
    assert ["'c/2'" in bad.problem for bad in told] == [True]


def test_bare_names_of_a_table_are_used_where_one_file_has_them(tmp_path: Path) -> None:
    put(tmp_path, "a/1.png", "b/1.png", "a/2.png", "b/3.png")
    (tmp_path / "t.csv").write_text("file,caption\n1.png,One.\n2.png,Two.\n3,Three.\n")
    told: list[BadRecord] = []
    items = list(ImageFolder("d", tmp_path, table="t.csv").read(told.append))
    assert [(i.id, i.text) for i in items] == [
        ("d:a/1.png", "a"), ("d:a/2.png", "Two."), ("d:b/1.png", "b"), ("d:b/3.png", "Three."),
    ]  # fmt: skip
    assert len(told) == 1 and "1 rows name several files each, the first '1.png'" in told[0].problem


def test_a_number_of_a_folders_name_is_cut_only_before_a_dash_of_its_own(tmp_path: Path) -> None:
    names = ("1 - Mild", "1.5T MRI", "2-vessel disease", "1-2 cm nodule", "2020-01-15")
    put(tmp_path, *(f"{name}/a.png" for name in names))
    assert {i.text for i in ImageFolder("d", tmp_path).read(never)} == {"Mild", *names[1:]}


def test_ids_hold_no_sign_that_ids_use(tmp_path: Path) -> None:
    (tmp_path / "a#1~2.png").write_bytes(png())
    (item,) = ImageFolder("d", tmp_path).read(never)
    assert item.id == "d:a%231%7E2.png"


def test_dicom_files_are_grouped_by_study_and_sorted(tmp_path: Path) -> None:
    dicom(tmp_path / "x.dcm", SeriesNumber=2, InstanceNumber=1)
    dicom(tmp_path / "y", SeriesNumber=1, InstanceNumber=2)  # told by content
    dicom(tmp_path / "z.dcm", StudyInstanceUID="9.9", Modality="CT", BodyPartExamined="HEAD")
    (tmp_path / "notes.txt").write_text("no DICOM, and does not say so")
    items = list(DicomFolder("p", tmp_path).read(never))
    assert [i.kind for i in items] == ["study", "image", "image", "study", "image"]
    study, first, second = items[:3]
    assert (
        study.id == "p:1.2.3" and study.patient == "P1" and study.date == "2024-01-02" and study.domain == "chest-xray"
    )
    assert study.images == (first.id, second.id) and first.source.endswith("y") and second.source.endswith("x.dcm")
    assert items[3].id == "p:9.9" and items[4].domain == "ct" and items[4].meta["modality"] == "CT"


def test_a_dicom_file_without_preamble_and_suffix_is_read(tmp_path: Path) -> None:
    whole = dicom(tmp_path / "IM0001", StudyInstanceUID="9.9").read_bytes()
    (tmp_path / "IM0001").write_bytes(whole[132:])  # its meta information first
    data = read_dataset(str(dicom(tmp_path / "IM0002")), "")
    del data.file_meta
    data.save_as(tmp_path / "IM0002", implicit_vr=True, little_endian=True)  # the data set alone
    (tmp_path / "IM0003").write_bytes(b"\x08\0 begins like one, and is none" * 9)
    assert [i.id for i in DicomFolder("p", tmp_path).read(never) if i.kind == "study"] == ["p:9.9", "p:1.2.3"]


@pytest.mark.parametrize(("frames", "wanted"), [("first", [0]), ("middle", [1]), ("all", [0, 1, 2])])
def test_frames_of_a_multi_frame_file(tmp_path: Path, frames: str, wanted: list[int]) -> None:
    dicom(tmp_path / "a.dcm", pixels=bytes(144), NumberOfFrames=3)
    images = [i for i in DicomFolder("p", tmp_path, frames=frames).read(never) if i.kind == "image"]
    assert [i.frame for i in images] == wanted and len({i.id for i in images}) == len(wanted)


def test_the_same_instance_twice_is_reported(tmp_path: Path) -> None:
    content = dicom(tmp_path / "a.dcm").read_bytes()
    (tmp_path / "b.dcm").write_bytes(content)
    errors: list[BadRecord] = []
    assert len(list(DicomFolder("p", tmp_path).read(errors.append))) == 2
    assert len(errors) == 1 and "b.dcm" in str(errors[0])


def test_files_that_name_no_study_are_not_put_together(tmp_path: Path) -> None:
    for patient in ("a", "b"):
        (tmp_path / patient).mkdir()
        dicom(
            tmp_path / patient / "IM1.dcm", StudyInstanceUID="", SOPInstanceUID=f"1.2.{ord(patient)}", PatientID=patient
        )
    items = list(DicomFolder("p", tmp_path).read(never))
    assert [(i.id, i.patient) for i in items if i.kind == "study"] == [
        ("p:file-a/IM1.dcm", "a"),
        ("p:file-b/IM1.dcm", "b"),
    ]


def test_a_study_keeps_its_accession_number_and_no_date_that_was_taken_out(tmp_path: Path) -> None:
    dicom(tmp_path / "a.dcm", AccessionNumber="A1", StudyDate="00010101")
    study, image = DicomFolder("p", tmp_path).read(never)
    assert study.kind == "study" and study.date == "" and study.meta["accession"] == image.meta["accession"] == "A1"


@pytest.mark.parametrize(
    ("meta", "domain"),
    [
        ({"modality": "CR", "body_part": "CHEST"}, "chest-xray"), ({"modality": "DX", "study_description": "Thorax pa"}, "chest-xray"),
        ({"modality": "CR", "body_part": "KNEE"}, "other"), ({"modality": "CT", "body_part": "CHEST"}, "ct"), ({"modality": "MR"}, "mr"),
        ({"modality": "US"}, "ultrasound"), ({"modality": "OP"}, "fundus"), ({"modality": "SM"}, "histology"), ({}, "other"),
    ],
)  # fmt: skip
def test_domain_of_a_header(meta: dict[str, str], domain: str) -> None:
    assert domain_of(meta) == domain


def test_a_table_may_be_the_corpus(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.png").write_bytes(png())
    dicom(tmp_path / "b.dcm")
    (tmp_path / "list.csv").write_text("file,caption,domain\nsub/a.png,A film.,chest-xray\nb.dcm,B.,\ngone.png,C.,\n")
    corpus, errors = ImageFolder("l", tmp_path / "list.csv"), list[BadRecord]()
    items = list(corpus.read(errors.append))
    assert [(i.id, i.text, i.domain, i.meta["columns"]) for i in items] == [
        ("l:sub/a.png", "A film.", "chest-xray", 24),
        ("l:b.dcm", "B.", "other", 8),
    ]
    assert len(errors) == 1 and "gone.png" in str(errors[0])
    before = corpus.signature()
    (tmp_path / "sub" / "a.png").write_bytes(png(30, 20))
    assert corpus.signature() != before


def labels(folder: Path, table: str = "", told: list[BadRecord] | None = None) -> dict[str, str]:
    """The label of each picture that has one, by its path."""
    items = ImageFolder("d", folder, table=table).read([].append if told is None else told.append)
    return {i.id.partition(":")[2]: i.meta["label"] for i in items if "label" in i.meta}


def test_columns_of_classes_give_the_label_that_is_1(tmp_path: Path) -> None:
    put(tmp_path, "a.png", "b.png", "c.png", "d.png")
    (tmp_path / "t.csv").write_text("image,MEL,NV,age\na,1.0,0.0,40\nb,0.0,1.0,50\nc,0.0,0.0,60\nd,0,1,1\n")
    told: list[BadRecord] = []
    assert labels(tmp_path, "t.csv", told) == {"a.png": "MEL", "b.png": "NV", "d.png": "NV"}
    assert len(told) == 1 and "the column that is 1, of MEL, NV" in told[0].problem
    (tmp_path / "t.csv").write_text("image,old,male\na,1,1\nb,0,1\nc,1,1\n")
    assert labels(tmp_path, "t.csv", told) == {} and "several are 1 in a row" in told[1].problem


def test_a_table_without_labels_leaves_those_of_the_folders_and_says_so(tmp_path: Path) -> None:
    put(tmp_path, "benign/a.png", "malignant/b.png")
    (tmp_path / "t.csv").write_text("file,age\nbenign/a.png,40\nmalignant/b.png,50\n")
    told: list[BadRecord] = []
    assert labels(tmp_path, "t.csv", told) == {"benign/a.png": "benign", "malignant/b.png": "malignant"}
    assert len(told) == 1 and "no column of labels; found: file, age" in told[0].problem


def test_words_for_nothing_are_no_label(tmp_path: Path) -> None:
    put(tmp_path, *(f"{n}.png" for n in range(5)))
    (tmp_path / "t.csv").write_text("file,label\n0,nan\n1,N/A\n2,None given\n3,\n4,No finding\n")
    assert labels(tmp_path, "t.csv") == {"4.png": "No finding"}


@pytest.mark.parametrize(
    "spelled", [r"img\a.png", r".\img\a.png", "./img/a.png", "IMG/A.PNG", "{folder}/img/a.png", "A"]
)
def test_a_file_is_known_by_any_spelling_of_its_path(tmp_path: Path, spelled: str) -> None:
    put(tmp_path, "img/a.png", "img/b.png")
    (tmp_path / "t.csv").write_text(f"file,label\n{spelled.format(folder=tmp_path)},nevus\nimg/b,wart\n")
    told: list[BadRecord] = []
    assert (labels(tmp_path, "t.csv", told), told) == ({"img/a.png": "nevus", "img/b.png": "wart"}, [])


def test_of_two_columns_of_files_that_is_read_which_fits(tmp_path: Path) -> None:
    put(tmp_path, "a.png", "b.png")
    (tmp_path / "t.csv").write_text("image_path,image_id,dx\nraw/part_1/x1.jpg,a,nevus\nraw/part_1/x2.jpg,b,wart\n")
    assert labels(tmp_path, "t.csv") == {"a.png": "nevus", "b.png": "wart"}


@pytest.mark.parametrize(
    ("name", "text"),
    [("t.jsonl", '{"file": "a.png", "label": "mel"}\n{"file": "b", "dx": ["nv"], "label": null}\n'), ("t.json", '[{"file": "a", "label": "mel"}]')],
)  # fmt: skip
def test_a_table_may_be_json(tmp_path: Path, name: str, text: str) -> None:
    put(tmp_path, "a.png", "b.png")
    (tmp_path / name).write_text(text)
    assert labels(tmp_path, name) == {"a.png": "mel"}
    (tmp_path / name).write_text("nothing of the kind")
    with pytest.raises(CorpusError, match=r"JSON|no record|no list"):
        check(ImageFolder("d", tmp_path / name))


def test_folders_that_name_no_class_give_no_label(tmp_path: Path) -> None:
    put(tmp_path, "mel/2021/a.png", "nv/images/b.png", "img/c.png", "nv/masks/b.png", "3/d.png")
    told: list[BadRecord] = []
    assert labels(tmp_path, told=told) == {"mel/2021/a.png": "mel", "nv/images/b.png": "nv"}
    assert [bad.problem.partition(" are ")[0] for bad in told] == ["1 masks", "1 pictures in folders that numbers name"]


def test_pictures_of_every_suffix_are_read_or_told(tmp_path: Path) -> None:
    first, second = Image.new("L", (8, 8)), Image.new("L", (8, 8))
    put(tmp_path, "a.jfif", "b.JPE")
    first.save(tmp_path / "c.tiff", save_all=True, append_images=[second])
    (tmp_path / "d.heic").write_bytes(b"")
    (tmp_path / "e.zip").write_bytes(b"")
    told: list[BadRecord] = []
    assert len(list(ImageFolder("d", tmp_path).read(told.append))) == 3
    assert [bad.problem for bad in told] == [
        "is passed over (2 such here: .heic, .zip)",
        "has 2 pages, of which the first alone is read (1 such here)",
    ]


def test_a_list_names_its_files_in_the_way_of_windows_too(tmp_path: Path) -> None:
    put(tmp_path, "img/a.png")
    (tmp_path / "t.csv").write_text("file,label\nimg\\a.png,nevus\n")
    (item,) = ImageFolder("d", tmp_path / "t.csv").read(never)
    assert item.text == "nevus" and item.source == str(tmp_path / "img" / "a.png")
