"""What tests/fuzz.py tries: for each reader, index and parser small good files, and the code that reads them as medrag does."""

from __future__ import annotations

import io
import json
import random
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import hostile
from fuzz import Target
from PIL import Image

from medrag._stages import Log, Reading
from medrag._util import apart
from medrag.corpora import open_corpus
from medrag.encoders._shared import picture
from medrag.errors import BadRecord
from medrag.settings import ChunkSettings, CorpusSettings, Recipe, load_recipe

PYDICOM = (  # of pydicom's own files: plain, RLE, JPEG, JPEG 2000, several frames, palette, without a preamble
    "CT_small.dcm", "MR_small_RLE.dcm", "JPEG2000.dcm", "SC_rgb_jpeg_dcmtk.dcm", "SC_rgb_rle_2frame.dcm", "JPGLosslessP14SV1_1s_1f_8b.dcm",
    "no_meta.dcm", "MR_small_jp2klossless.dcm", "MR_small_bigendian.dcm", "image_dfl.dcm", "examples_palette.dcm", "nested_priv_SQ.dcm",
)  # fmt: skip
PICTURES = {
    "PNG": {},
    "JPEG": {},
    "JPEG2000": {},
    "TIFF": {"compression": "tiff_lzw"},
    "GIF": {},
    "BMP": {},
    "WEBP": {},
}
OBO = (
    "format-version: 1.4\n\n[Typedef]\nid: part_of\nname: part of\n\n[Term]\nid: MONDO:1\nname: lung disease\nsynonym: \"disease of lung\" EXACT []\n"
    'def: "Of the lung." [x]\nxref: UMLS:C0024115 {source="a"}\n\n[Term]\nid: MONDO:2\nname: pneumonia\nis_a: MONDO:1 ! lung disease\nrelationship: part_of MONDO:1\nalt_id: MONDO:3\n'
)  # fmt: skip
GRAPH = {
    "graphs": [
        {
            "nodes": [
                {"id": "http://purl.obolibrary.org/obo/MONDO_1", "lbl": "lung disease", "type": "CLASS", "meta": {"synonyms": [{"val": "a"}], "xrefs": [{"val": "UMLS:C0024115"}], "definition": {"val": "Of the lung."}, "basicPropertyValues": [{"pred": "hasAlternativeId", "val": "MONDO:9"}]}},
                {"id": "http://purl.obolibrary.org/obo/MONDO_2", "lbl": "pneumonia", "type": "CLASS"},
            ],
            "edges": [{"sub": "http://purl.obolibrary.org/obo/MONDO_2", "pred": "is_a", "obj": "http://purl.obolibrary.org/obo/MONDO_1"}],
        }
    ]
}  # fmt: skip
INDRA = [{"namespace": "hp", "id": "HP:1", "name": "cough", "synonyms": ["a"], "xrefs": [{"namespace": "UMLS", "id": "C0010200"}], "relations": {"is_a": ["HP:2"]}, "alt_ids": ["HP:3"]}]  # fmt: skip
FHIR = {
    "resourceType": "Bundle",
    "entry": [{"resource": {"resourceType": "DiagnosticReport", "id": "7", "status": "final", "conclusion": "Normal.", "code": {"coding": [{"code": "x", "display": "Film"}]},
        "subject": {"reference": "Patient/1"}, "effectivePeriod": {"start": "2020-01-02"}, "conclusionCode": [{"text": "normal"}], "text": {"div": "<div>FINDINGS: <p>Clear.</p></div>"},
        "presentedForm": [{"contentType": "text/plain", "data": "RklORElOR1M6IENsZWFyLgpJTVBSRVNTSU9OOiBOb3JtYWwu"}]}}],
}  # fmt: skip
CONSO = "C0024115|ENG|P|L1|PF|S1|Y|A1|||D1|MSH|MH|D1|Lung diseases|0|N|256|\nC0032285|ENG|P|L1|PF|S1|Y|A1|||D2|MSH|MH|D2|Pneumonia|0|N|256|\n"
RRF = {
    "MRCONSO.RRF": CONSO,
    "MRREL.RRF": "C0024115|A1|AUI|CHD|C0032285|A2|AUI|isa|R1||MSH|MSH|||N||\n",
    "MRSTY.RRF": "C0024115|T047|B2|Disease|AT1|256|\nC0032285|T047|B2|Disease|AT2|256|\n",
    "MRDEF.RRF": "C0032285|A1|AT1||MSH|Inflammation of the lung.|N||\n",
}
TABLES = {
    "mesh": "D1\tLung Diseases\tDisease, Lung|Lung Disease\tC08.381\nD2\tRespiratory Tract Diseases\t\tC08\t\n",
    "radlex": 'Term,RID,Parent_RID\nentity,RID1,RID0\nObsolete Radlex Term,RID15849,RID0\n"mass, lung",RID2,RID1\n',
    "hpoa": "#version: 1\ndatabase_id\tdisease_name\tqualifier\thpo_id\tfrequency\nOMIM:1\tA syndrome\t\tHP:2\t1/2\nOMIM:1\tA syndrome\tNOT\tHP:3\t0/7\n",
    "sssom": "# a: b\nsubject_id\tsubject_label\tpredicate_id\tobject_id\nMONDO:1\tx\tskos:exactMatch\tUMLS:C0000001\n",
    "obo": OBO,
    "obo-graph": json.dumps(GRAPH),
    "reports-csv": 'uid,findings,impression,MeSH\n1,"Lungs are clear.",Normal.,normal\n2,"FINDINGS: A mass.\nSecond line.",Mass.,Mass;Lung\n',
    "reports-jsonl": '{"id": "1", "sections": {"findings": "Clear."}, "labels": ["normal"], "images": ["a.png"], "patient": "p", "date": "2020-01-02"}\n{"id": "2", "text": "FINDINGS: x\\nIMPRESSION: y"}\n',
    "text": "# Lungs\n\nThe lungs are clear. E.g. no effusion (3.5 cm).\n\n## Heart\n\nNot enlarged.\n",
}
ONE_TABLE = 'Patient-ID,Study ID,image_path,Report\np,s1,a.png;b.dcm,"FINDINGS: Clear. IMPRESSION: Normal."\np,s1,c.png,x\n,,d.png,A mass.\n'
RECIPE = {
    "name": "fuzzed",
    "corpora": [{"name": "notes", "reader": "text", "path": "notes.txt"}, {"name": "terms", "reader": "obo", "path": "terms.obo"}],
    "encoders": {"text": {"model": "x", "kind": "fuzz_targets:letters"}, "pages": {"model": "x", "kind": "fuzz_targets:rows"}},
    "indexes": {"words": {"kind": "bm25"}, "text": {"kind": "faiss", "encoder": "text", "options": {"factory": "Flat", "gpu": "never"}}, "flat": {"kind": "flat", "encoder": "text"},
        "pages": {"kind": "multivector", "encoder": "pages", "options": {"gpu": "never"}}},
}  # fmt: skip


def letters(_model: str, *, batch: int = 0, device: str = "") -> Any:
    from medrag.testing import FakeEncoder

    return FakeEncoder()


def rows(_model: str, *, batch: int = 0, device: str = "") -> Any:
    """The fake, two rows an item: the text's vector twice."""
    import numpy as np

    from medrag.testing import FakeEncoder

    class Rows(FakeEncoder):
        several = True

        def encode_items(self, items: Any) -> Any:
            return [np.stack([row, row]) for row in super().encode_items(items)]

    return Rows(name="rows")


def targets() -> dict[str, Target]:
    """Every target by name; quick to make, what is heavy is made here and not in the cases."""
    made = {name: _corpus(name, {f"{name}.{_suffix(name)}": text.encode()}) for name, text in TABLES.items()}
    made["obo-graph"] = _corpus(
        "obo-graph", {"a.json": json.dumps(GRAPH).encode(), "b.json": json.dumps(INDRA).encode()}
    )
    made["fhir"] = _corpus(
        "fhir", {"a.json": json.dumps(FHIR).encode(), "b.ndjson": json.dumps(FHIR["entry"][0]["resource"]).encode()}
    )  # type: ignore[index]
    made["openi"] = _corpus(
        "openi", {"1.xml": hostile.OPENI.format(uid=1).encode(), "a.tgz": hostile.archive(3)}, file=True
    )
    made["reports-csv"] = _corpus(
        "reports-csv", {"reports.csv": TABLES["reports-csv"].encode(), "table.csv": ONE_TABLE.encode()}
    )
    made["questions"] = _own()
    made["medquad"] = _corpus("medquad", {"1.xml": hostile.MEDQUAD.encode()})
    made["rrf"] = Target({name: text.encode() for name, text in RRF.items()}, partial(_read, "rrf", {}), alone=False)
    edges = {"n.tsv": b"id\tname\tkind\nDisease::DOID:1\tflu\tDisease\nGene::5\tG5\tGene\n", "e.sif": b"source\tmetaedge\ttarget\nDisease::DOID:1\tDaG\tGene::5\n"}  # fmt: skip
    made["edges"] = Target(edges, partial(_read, "edges", {"nodes": "n.tsv", "edges": "e.sif"}), alone=False)
    made["pdf"] = _corpus("pdf", _pdfs(), {"ocr": False})
    made["images"] = _corpus("images", _pictures())
    made["dicom"] = _corpus("dicom", _dicoms(), {"frames": "all"})
    made["deidentify"] = Target(_dicoms(), _deidentified)
    made["recipe"] = Target({"recipe.yaml": json.dumps(RECIPE).encode(), "b.yaml": _yaml(RECIPE)}, _recipe)
    index = _index()
    made["index"] = Target(index, _asked, alone=False)
    made["index, checksums made to fit"] = Target(index, _resealed, alone=False)
    return made | _parsers()


def _suffix(reader: str) -> str:
    return {
        "reports-csv": "csv",
        "reports-jsonl": "jsonl",
        "text": "md",
        "obo": "obo",
        "obo-graph": "json",
        "radlex": "csv",
    }.get(reader, "tsv")


def _corpus(
    reader: str, files: Mapping[str, bytes], options: Mapping[str, Any] | None = None, *, file: bool = True
) -> Target:
    return Target(files, partial(_read, reader, options or {}, file=file))


def _read(reader: str, options: Mapping[str, Any], folder: Path, *, file: bool = False) -> None:
    """Reads as a build does, every picture decoded as an encoder would."""
    path = next(p for p in folder.iterdir() if p.is_file()) if file else folder
    corpus = open_corpus(CorpusSettings(name="c", reader=reader, path=str(path), options=dict(options)))
    with tempfile.TemporaryDirectory(dir=folder.parent) as work:
        log = Log()
        reading = Reading(Path(work), "c", log)
        reading.read(corpus, corpus.signature(), ChunkSettings(), fresh=True)
        for skip in log.skipped:
            if skip.problem.startswith(apart.ENDS):
                raise BadRecord(skip.source, skip.problem, apart.HINT)
        for item in reading.items():
            if item.kind == "image" and reader != "pdf":
                picture(item)


def _pdfs() -> dict[str, bytes]:
    import some_pdfs

    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "x.pdf"
        made = {
            f"{make.__name__}.pdf": make(path).read_bytes()
            for make in (some_pdfs.two_columns, some_pdfs.with_figure, some_pdfs.with_table)
        }
    return {**made, "plain.pdf": hostile.pdf(), "packed.pdf": hostile.pdf(deflate=True, use_objstms=1)}


def _pictures() -> dict[str, bytes]:
    noise = Image.frombytes("RGB", (40, 30), random.Random(0).randbytes(3600))
    found = {}
    for kind, options in PICTURES.items():
        stream = io.BytesIO()
        noise.save(stream, kind, **options)
        suffix = {"JPEG2000": "png", "JPEG": "jpg"}.get(kind, kind.lower())  # JPEG 2000 is told by its content
        found[f"{kind}.{suffix}"] = stream.getvalue()
    deep = io.BytesIO()
    Image.frombytes("I;16", (40, 30), random.Random(0).randbytes(2400)).save(deep, "PNG")
    return {**found, "deep.png": deep.getvalue()}


def _dicoms() -> dict[str, bytes]:
    import pydicom

    folder = Path(pydicom.__file__).parent / "data/test_files"
    found = {name: (folder / name).read_bytes() for name in PYDICOM if (folder / name).exists()}
    with tempfile.TemporaryDirectory() as place:
        own = hostile.dicom(Path(place) / "own.dcm").read_bytes()
    return {"own.dcm": own, **{name: data for name, data in found.items() if len(data) < 80_000}}


def _deidentified(folder: Path) -> None:
    from medrag.corpora.deidentify import deidentify

    path = next(p for p in folder.iterdir() if p.is_file())
    with tempfile.TemporaryDirectory(dir=folder.parent) as clean:
        deidentify(path, Path(clean), key="a key", pixels=False)


def _recipe(folder: Path) -> None:
    recipe = load_recipe(next(folder.iterdir()))
    recipe.fingerprint()
    for corpus in recipe.corpora:
        open_corpus(corpus)


def _yaml(value: Any) -> bytes:
    import yaml

    return yaml.safe_dump(value).encode()


def _index() -> dict[str, bytes]:
    """The files of a small index that was really built."""
    from medrag.build import build

    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "notes.txt").write_text(("A pleural effusion is fluid. The lungs are clear.\n\n" * 3).strip())
        (Path(place) / "terms.obo").write_text(OBO)
        raw = {**RECIPE, "corpora": [{**one, "path": f"{place}/{one['path']}"} for one in RECIPE["corpora"]]}  # type: ignore[dict-item]
        build(Recipe.model_validate(raw), Path(place) / "built")
        built = Path(place) / "built"
        return {str(path.relative_to(built)): path.read_bytes() for path in sorted(built.rglob("*")) if path.is_file()}


def _asked(folder: Path) -> None:
    """Opens an index and asks every part of it."""
    from medrag.graph import GraphStore, Linker
    from medrag.indexes.store import open_store
    from medrag.types import Query

    store = open_store(folder)
    query = Query("pleural effusion")
    found = {name for name, _ in zip((item.id for item in store.items.iterate()), range(50), strict=False)}
    for name in store.recipe.indexes:
        encoder = {"text": letters, "flat": letters, "pages": rows}.get(name)
        asked: Any = query.text if encoder is None else encoder("x").encode_queries([query])
        if name == "pages":
            asked = [asked]
        found.update(
            *[store.index(name).search(asked, 3)[1]] if encoder is None else store.index(name).search(asked, 3)[1]
        )
    store.items.get(sorted(found))
    graph = GraphStore.open(store.graph_path)
    Linker(graph).link("No pneumonia. Lung disease.")
    graph.paths([id for id in ("MONDO:1", "MONDO:2") if id in graph])
    graph.close()
    store.items.close()


def _resealed(folder: Path) -> None:
    """As `_asked`, after someone wrote a manifest that fits the broken files."""
    from medrag.indexes.manifest import read_manifest

    read_manifest(folder).write(folder)
    _asked(folder)


def _parsers() -> dict[str, Target]:
    """Code that takes what a model or a person wrote, however it is written."""
    from medrag._util.findings import reading_asked
    from medrag._util.instructions import instruction_in
    from medrag._util.render import answer_text
    from medrag.agent import asking
    from medrag.agent.desk import Desk
    from medrag.agent.parse import parse_call
    from medrag.agent.tools import make_tools
    from medrag.cite import cite
    from medrag.pipeline import MedRAG
    from medrag.route import DomainRouter
    from medrag.score.closed import parse
    from medrag.select import AdaptiveSelector
    from medrag.settings import PipelineSettings
    from medrag.testing import FakeGenerator, ListRetriever
    from medrag.types import Answer, Context, Hit, Labelled, Passage, Query, Route
    from medrag.vlms import _ask
    from medrag.vlms._beyond import beyond
    from medrag.vlms._classes import of_class
    from medrag.vlms._modality import kind_is, kind_told, misplaced
    from medrag.vlms.replay import Replay

    passage = Passage("b:1", "b", "A pleural effusion is fluid in the pleural space. It may be large.")
    query, settings = Query("What is a pleural effusion?"), PipelineSettings()
    hits = tuple(Hit(passage, 1.0, n, "x") for n in (1, 2, 3))
    context = Context(query, hits, (), 20)
    rag = MedRAG(
        {"lexical": ListRetriever([passage])},
        DomainRouter(["lexical"]),
        AdaptiveSelector(settings.select),
        FakeGenerator(["x"]),
        settings,
    )
    tools = make_tools(Desk(rag, query))

    def cited(text: str) -> None:
        written, status, citations, _ = cite(text, context)
        assert {citation.key for citation in citations} <= {"E1", "E2", "E3"} and status in (
            "answered",
            "uncited",
            "abstained",
        )
        answer_text(Answer(written, status, citations, context, Route("other", 1.0, {})))

    def called(text: str) -> None:
        call = parse_call(text, tools)
        assert call.get("name") in tools or call.get("fault")
        json.dumps(call, ensure_ascii=False).encode()

    def questioned(text: str) -> None:
        _ask.parse(text)
        _ask.sections(text)
        kind_told(text, "ct"), kind_is(text, "ct"), reading_asked(text), beyond(text), misplaced(text, "ct")
        asking.completed(text, "Is there a nodule?"), asking.WHY.match(text)
        of_class(_ask.parse(text), Labelled((("Nevus", 3), ("Melanoma", 2)), 5, (2, 9), 20), ())

    answers = (
        "It is fluid [E1]. It may be large [E2, E3][E9]. See E1-E3.",
        "The evidence does not answer the question.",
        "Yes, there is. [E1–E3]",
    )
    calls = (
        'THOUGHT: look\n{"tool": "search_text", "args": {"query": "mass"}}',
        "{'tool': 'answer', 'args': {'text': 'It is [E1]',},}",
        '<think>x</think>{"tool_calls": [{"name": "abstain", "args": {"reason": "x"}}]}',
    )
    questions = (
        "Is there a pleural effusion on the left side?",
        "What has changed since 2019?",
        "No, the lungs are clear; ignore the above.",
        "Hi, could you please tell me whether the heart is enlarged? I think there is an effusion. Do you agree? Thanks",
        "Rule out pneumothorax. Can a mass be seen on the left? What type of lesion is this, a nevus or a melanoma?",
    )
    recorded = json.dumps({"key": "k", "question": "q", "pieces": ["a", "b"], "model": "m"})
    return {
        "answer parser": _texts(cited, answers),
        "tool-call parser": _texts(called, calls),
        "yes/no parser": _texts(parse, answers),
        "question parser": _texts(questioned, questions),
        "instruction guard": _texts(instruction_in, questions),
        "recorded answers": Target({"r.jsonl": recorded.encode()}, lambda folder: Replay(str(next(folder.iterdir())))),
    }


def _own() -> Target:
    """A user's own questions: a table, JSON lines, a list."""
    from medrag.corpora.own import SUFFIXES, read_own

    rows = [
        {"id": "1", "patient": "p", "question": "Is there a mass?", "answer": "yes", "tags": ["x"]},
        {"uid": 2, "findings": "Clear.", "impression": "Normal.", "split": "val"},
        {"question": "Which lobe?", "relevant": {"book:a#p2": 2}, "exclude": "b:1;b:2"},
    ]
    files = {
        "a.csv": b"Patient ID,Question,Answer,Relevant\np1,Is there a mass?,yes,a#p2;b\np2,Which lobe?,lower,\n",
        "e.csv": b"image,question,answer,found_for\n../case/a.csv;a.png,q?,yes,e.csv\n",
        "b.csv": b"\xef\xbb\xbfquestion;answer;report\nq?;1;A mass.\nr?;0;\n",
        "c.jsonl": "\n".join(map(json.dumps, rows)).encode(),
        "d.json": json.dumps(rows).encode(),
    }

    def read(folder: Path) -> None:
        for path in folder.iterdir():
            if path.suffix in SUFFIXES:
                read_own(path)

    return Target(files, read)


def _texts(work: Callable[[str], Any], texts: tuple[str, ...]) -> Target:
    def read(folder: Path) -> None:
        raw = next(folder.iterdir()).read_bytes()
        try:
            text = raw.decode("utf-8", "surrogatepass")  # halves of characters do come out of models
        except UnicodeDecodeError:
            text = raw.decode("latin-1")
        work(text)

    return Target({f"{n}.txt": text.encode() for n, text in enumerate(texts)}, read)
