"""The vocabulary of chest radiographs: concepts, the CheXpert observation each belongs to, and the phrases that name it.

The fourteen observations and which findings fall under them follow CheXpert (Irvin et al. 2019, arXiv 1901.07031); its
labeler's public lists served as a source of facts. The table is medrag's own and goes beyond them: devices by kind, and
findings outside the fourteen (emphysema, hernia, a tortuous aorta), which forbid "No Finding" and count as claims. One
deliberate difference: fibrosis of the lung is an opacity here, only fibrosis of the pleura is "Pleural Other". The file
knows nothing of negation, sides or reports.
"""

from __future__ import annotations

import functools
import re
from typing import NamedTuple

NO_FINDING = "No Finding"
DEVICES = "Support Devices"
OBSERVATIONS = (
    NO_FINDING, "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Lesion", "Lung Opacity", "Edema", "Consolidation", "Pneumonia",
    "Atelectasis", "Pneumothorax", "Pleural Effusion", "Pleural Other", "Fracture", DEVICES,
)  # fmt: skip
FIVE = ("Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Pleural Effusion")  # CheXpert's competition set


class Concept(NamedTuple):
    """What a phrase means. Concepts of one family are near relatives: "infiltrate" said of a consolidation is half right."""

    name: str
    observation: str | None
    family: str
    patterns: tuple[str, ...]  # regular expressions of whole words; a blank is any white space

    @property
    def sided(self) -> bool:
        """Whether left and right mean anything for it."""
        return self.family not in _MIDLINE


_MIDLINE = frozenset(
    {"heart", "mediastinum", "aorta", "trachea", "spine", "hernia", "airway device", "enteric device", "sternum"}
)
_GAP = r"(?:[\w/-]+ ){0,2}?"
_AIR = "(?:air[ -]?space|parenchymal|alveolar|pulmonary|lung|interstitial|nodular|retrocardiac|basilar|focal|patchy)"

# name | observation | family | phrases, separated by " ; ". Where two fit at one place the earlier line counts.
_TABLE = rf"""
pericardial effusion | | heart | pericardial (?:effusion|fluid)
granuloma | | calcified | (?:calcified|calcific) {_GAP}(?:granulomas?|granulomata|nodules?|nodes?|nodular densit(?:y|ies)|densit(?:y|ies)|lymph nodes?|lesions?|focus|foci) ; granulomas? ; granulomata ; granulomatous (?:disease|changes?|calcifications?|sequelae?) ; calcified (?:hilar|mediastinal|lymph)\b ; calcified adenopathy
pneumomediastinum | | free air | pneumomediastinum ; mediastinal (?:air|emphysema|gas)
free air | | free air | pneumoperitoneum ; free (?:\w+ ){{0,2}}?(?:air|gas) ; subdiaphragmatic air
subcutaneous emphysema | | free air | (?:subcutaneous|soft tissue) (?:emphysema|air|gas)
hydropneumothorax | Pneumothorax | pneumothorax | hydro-?pneumothora(?:x|ces)
pneumothorax | Pneumothorax | pneumothorax | pneumothora(?:x|ces|xes) ; ptx
pleural thickening | Pleural Other | pleura | (?:pleural|pleura|apical|biapical) (?:\w+ ){{0,2}}?(?:thickening|cap|caps|capping) ; pleural[ /-]{{1,3}}parenchymal (?:\w+ )?(?:scar\w*|thickening|fibrosis|change\w*) ; pleuro-?parenchymal (?:\w+ )?\w+ ; pleural (?:\w+ )?(?:scar\w*|fibrosis|reaction|calcifications?|disease) ; fibrothora(?:x|ces) ; thickening of the (?:\w+ )?pleura
pleural plaque | Pleural Other | pleura | (?:pleural|calcified|asbestos\w*) (?:\w+ )?plaques? ; plaques?
pleural effusion | Pleural Effusion | effusion | (?:pleural|subpulmonic|parapneumonic) {_GAP}(?:effusions?|fluid|collections?) ; (?:\w+thorax )?effusions? ; (?:fluid|blood) (?:\w+ ){{0,2}}?(?:in|within|along|tracking in) (?:\w+ ){{0,3}}?(?:pleural|fissures?) ?(?:spaces?|cavity)? ; hemothora(?:x|ces) ; haemothorax ; (?:loculated|layering|fissural) fluid ; (?:small|moderate|large|trace) (?:amount of |quantity of )?fluid ; hydrothorax ; empyema
costophrenic blunting | | effusion | (?:blunting|blunted|obscuration|obscured|blunt) {_GAP}{_GAP}(?:costophrenic|cp|lateral|posterior)? ?(?:costophrenic )?(?:angles?|sulc(?:us|i)|recess(?:es)?) ; costophrenic (?:angles?|sulc(?:us|i)) {_GAP}{_GAP}(?:blunted|blunting|obscured) ; costophrenic (?:angle )?blunting ; blunting ; blunted
bronchopneumonia | Pneumonia | airspace | pneumoni(?:a|as|tis|c) ; bronchopneumonias? ; broncho-pneumonia ; infections? ; infectious (?:\w+ ){{0,2}}?(?:process(?:es)?|etiology|disease|infiltrates?|consolidation|change\w*) ; infectious
vascular congestion | Edema | edema | (?:pulmonary |lung |central |venous |hilar )?(?:vascular|venous|vasculature|pulmonary) (?:\w+ )?(?:congestion|engorgement|indistinctness|redistribution) ; congest(?:ion|ed) ; pulmonary venous hypertension ; cephalization ; (?:indistinct\w*|engorged|engorgement) {_GAP}(?:pulmonary )?(?:vasculature|vascular\w*|vessels?|markings) ; (?:vascular|vessel) (?:prominence|cuffing) ; prominen(?:t|ce) (?:of )?(?:the )?(?:\w+ ){{0,2}}?(?:vascularity|vasculature|vascular markings|vessels)
heart failure | Edema | edema | (?:congestive )?(?:heart|cardiac|congestive) (?:\w+ )?failure ; chf ; (?:overt|frank|acute) failure ; (?:for|of|no) failure ; (?:volume|fluid) overload ; cardiac decompensation
edema | Edema | edema | (?:pulmonary |interstitial |alveolar )*(?:edema|oedema|edematous) ; kerley (?:\w+ )?lines? ; septal lines
consolidation | Consolidation | airspace | consolidat\w+
atelectasis | Atelectasis | atelectasis | atelecta\w+ ; (?:lobar|lung|lobe|segmental|passive|complete|partial|compressive|right|left|basilar) collapse ; collapsed? (?:of|lung|lobe|left|right|\w+ lobe) ; collapse
cavity | Lung Lesion | lesion | cavit(?:y|ies|ary|ation|ating)(?: \w+)? (?:lesions?|nodules?|mass(?:es)?) ; cavit(?:y|ies|ation|ations) ; thin-walled cyst
mass | Lung Lesion | lesion | mass(?:es)?(?![ -]like| effect) ; neoplas\w+ ; tumou?rs? ; carcinomas? ; malignan\w+ ; (?:lung|bronchogenic|pulmonary) cancers? ; metasta(?:s[ie]s|tic)(?: (?:disease|lesions?|nodules?|mass(?:es)?))? ; lymphoma ; lumps?
nodule | Lung Lesion | lesion | (?:micro)?nodules? ; nodular (?:opacit(?:y|ies)|opacification|densit(?:y|ies)|lesions?|foc(?:us|i)|shadows?|process) ; (?:lung|pulmonary|focal|suspicious|parenchymal) lesions? ; coin lesions? ; (?:rounded|round) (?:\w+ )?(?:densit(?:y|ies)|lesions?|opacit(?:y|ies))
emphysema | | emphysema | emphysem\w+ ; copd ; chronic obstructive (?:pulmonary|airways?|lung) disease ; bull(?:a|ae|ous)(?: (?:changes?|disease|emphysema))? ; blebs? ; obstructive (?:lung |pulmonary |airways? )?disease
interstitial markings | Lung Opacity | interstitial | (?:prominen\w+|increased|coarsen\w+|coarse|accentuat\w+|thicken\w+|chronic|diffuse) {_GAP}(?:interstiti\w+|lung|bronchovascular|reticular|parenchymal|pulmonary|bronchial) (?:\w+ )?(?:markings?|prominence|changes?|pattern|thickening|coarsening) ; (?:interstitial|reticular|reticulonodular|micronodular|fibrotic|fibronodular) (?:\w+ )?(?:markings?|patterns?|opacit(?:y|ies)|densit(?:y|ies)|changes?|prominence|thickening|coarsening|infiltrates?|disease|lung disease|fibrosis|abnormalit\w+|process) ; reticulation\w* ; (?:prominen\w+|increased|coarse\w*) {_GAP}(?:interstitium|markings) ; (?:interstitial|pulmonary|lung) fibrosis ; fibrosis ; fibrotic ; interstitial lung ; honeycomb\w* ; (?:markings|interstitium) {_GAP}(?:prominen\w+|increased|coarse\w*)
bronchial thickening | Lung Opacity | airway | (?:peri-?bronchial|bronchial|airway|bronchovascular)(?: wall)? (?:\w+ )?(?:thickening|cuffing) ; wall thickening
scar | Lung Opacity | scar | (?:(?:parenchymal|pulmonary|linear|apical|lung) )*scar(?:s|ring|red)? ; (?:parenchymal|apical) bands?
infiltrate | Lung Opacity | airspace | infiltrat\w+
opacity | Lung Opacity | airspace | (?:{_AIR} )*opaci(?:ty|ties|fication|fications|fied|fying) ; (?:{_AIR} )*(?:densit(?:y|ies)(?! of the)) ; {_AIR} (?:\w+ )?shadow(?:s|ing)? ; increased (?:\w+ )?densit(?:y|ies) ; air[ -]?space (?:\w+ )?(?:diseases?|process(?:es)?|change\w*|abnormalit\w+) ; decreased (?:translucency|lucency) ; ground[ -]glass ; (?:hazy|haziness|haze) ; air bronchograms? ; silhouette sign
fracture | Fracture | fracture | fractur\w+(?: deformit(?:y|ies))? ; fx
compression deformity | | spine | (?:compression|wedge|vertebral|wedging) (?:\w+ )?(?:deformit(?:y|ies)|changes?) ; (?:vertebral )?(?:body )?height loss ; loss of (?:vertebral )?(?:body )?height ; wedging
dislocation | | bone | dislocat\w+ ; subluxation
endotracheal tube | {DEVICES} | airway device | (?:endotracheal|et|tracheal|ng and et) tubes? ; ett ; intubat(?:ed|ion) ; extubat(?:ed|ion)
tracheostomy | {DEVICES} | airway device | tracheostomy(?: (?:tube|cannula))? ; trach tube
enteric tube | {DEVICES} | enteric device | (?:naso-?gastric|oro-?gastric|esophago-?gastric|enteric|feeding|dobb?hoff|gastrostomy|gastric|ng|og|g|j|peg) (?:and \w+ )?(?:tubes?|catheters?) ; dobb?hoff ; ngt ; ogt
chest tube | {DEVICES} | drain | (?:chest|thoracostomy|pleural|mediastinal|pigtail|surgical) (?:\w+ )?(?:tubes?|drains?|catheters?) ; pleurx(?: \w+)? ; pigtail ; (?:\w+ )?drains?(?: catheter)?
picc | {DEVICES} | central line | (?:picc|peripherally inserted)(?: (?:central|lines?|catheters?))*
port | {DEVICES} | central line | (?:port-?a-?cath\w*|medi-?port|infusa-?port|chest (?:wall )?port|infusion port|power port|chemo\w* port|subclavian port|jugular port|port catheter|mediports?|portacath|port)(?: catheter)?
swan ganz | {DEVICES} | central line | swan[ -]ganz(?: catheter)? ; pulmonary (?:artery|arterial) catheter ; pa catheter
dialysis catheter | {DEVICES} | central line | (?:dialysis|hemodialysis|permcath|tunneled|large[ -]bore) (?:\w+ )?(?:catheters?|lines?) ; vas-?cath ; permacath
central line | {DEVICES} | central line | (?:central|venous|jugular|subclavian|ij|arterial|cvc|vascular) (?:(?:venous|central|access|vein|approach) ){{0,2}}(?:lines?|catheters?|access|device) ; cvc ; cvl ; central lines? ; catheters? ; cannulas?
pacemaker | {DEVICES} | cardiac device | (?:(?:cardiac|dual|single|biventricular|transvenous|triple|permanent|lead|chamber|left|right|dual[ -]lead|av|sequential) )*(?:pace-?makers?|pacers?|pacing)(?: (?:leads?|device|wires?|generator|pads?))* ; generator
leads | {DEVICES} | cardiac device | leads
defibrillator | {DEVICES} | cardiac device | aicds? ; icds? ; (?:cardioverter[ /-])?defib\w* ; cardiac device
heart valve | {DEVICES} | valve | (?:(?:prosthetic|mechanical|artificial|bioprosthetic|replaced|aortic|mitral|tricuspid|cardiac|heart) )+(?:(?:valves?|valvular) (?:prosthes[ie]s|replacements?|prosthetic)|valves?) ; valve (?:replacements?|prosthes[ie]s) ; tavr ; annuloplasty(?: ring)?
sternal wires | {DEVICES} | sternum | (?:(?:median|intact|midline) )?(?:sternotomy|sternal|cerclage) (?:\w+ )?(?:wires?|sutures?|hardware|cerclage)
orthopedic hardware | {DEVICES} | hardware | (?:(?:spinal|orthopedic|surgical|fixation|fusion|fusion|metallic|rod) )*(?:hardware|arthroplast(?:y|ies)) ; (?:plates?|rods?) (?:and|with) (?:\w+ )?screws? ; screws? ; (?:fixation|metal|metallic|side) plates? ; (?:spinal|harrington|fixation) rods? ; (?:shoulder|joint|hip) (?:prosthes[ie]s|replacements?) ; vertebroplasty ; kyphoplasty ; vertebral augmentation
balloon pump | {DEVICES} | other device | (?:intra-?aortic )?balloon pump ; iabp ; impella ; lvad ; (?:ventricular|left ventricular) assist device
stent | {DEVICES} | other device | stents?(?: grafts?)? ; endograft ; filter ; coils? ; shunt(?: catheter)?
device | {DEVICES} | other device | (?:support|monitoring|medical|life support|supportive|assist|cardiac|loop|recorder|implanted|electronic|stimulator) (?:\w+ )?(?:devices?|apparatus|equipment|recorder|lines?) ; (?:ekg|ecg|monitor\w*|telemetry|external|overlying|cardiac) (?:\w+ )?(?:leads?|wires?|electrodes?) ; (?:lines|tubes) ; (?:lines?|tubes?) (?:and|or) (?:tubes?|lines?) ; stimulators?(?: \w+)? ; electrodes?
sternotomy | | surgery | sternotom(?:y|ies) ; cabg ; (?:coronary )?(?:artery )?bypass(?: graft\w*| surgery)* ; post-?sternotomy
surgical change | | surgery | (?:surgical|metallic|cholecystectomy|vascular|hemo\w*) (?:\w+ )?(?:clips?|staples?|sutures?) ; clips ; staple lines? ; (?:post-?(?:operative|surgical)|surgical) (?:\w+ )?(?:changes?|deformity) ; lobectomy ; pneumonectomy ; mastectom(?:y|ies) ; thoracotomy ; wedge resection
hyperinflation | | emphysema | hyper-?(?:inflat|expan|aerat|lucen)\w+ ; (?:large|increased) lung volumes? ; air[ -]trapping ; (?:flattening|flattened|flat) {_GAP}(?:hemi-?)?diaphragms? ; (?:hemi-?)?diaphragms? {_GAP}flatten\w+ ; (?:increased|enlarged|large) {_GAP}(?:ap|retrosternal) (?:diameter|air ?space|space|clear space)
low lung volumes | | volumes | (?:low|small|reduced|decreased|diminished|shallow|poor|hypo-?inflated|hypo-?ventilatory|reduction in|reduced) {_GAP}(?:lung volumes?|inspirat\w+(?: effort| volumes?)?|inflation|expansion|aeration|lungs?) ; (?:lung volumes?|inspiration|inspiratory effort) (?:\w+ )?(?:is|are|remains?|appears?) {_GAP}(?:low|small|reduced|shallow|decreased|diminished|poor) ; hypo-?(?:inflat|ventilat|aerat|expan)\w+ ; shallow inspiration ; low volumes?
volume loss | | volumes | volume loss ; loss of (?:lung )?volume
bronchovascular crowding | | volumes | crowding ; bronchovascular crowding
bronchiectasis | | airway | bronchiectasis ; bronchiectatic(?: changes?)? ; (?:chronic )?bronchit\w+ ; bronchiolitis ; reactive airways?(?: disease)? ; asthma
hilar enlargement | | hilum | (?:hilar|hila|hilum) {_GAP}(?:enlarge\w+|prominen\w+|fullness|adenopathy|lymph\w*) ; (?:enlarge\w+|prominen\w+|fullness) (?:of )?(?:the )?(?:\w+ )?(?:hil(?:a|um|ar)) ; (?:(?:hilar|mediastinal|hilar and mediastinal|paratracheal) )?(?:lymph)?adenopath\w* ; enlarged (?:\w+ )?(?:lymph )?nodes ; (?:prominen\w+|dilat\w+|enlarged) {_GAP}pulmonary arter\w+ ; pulmonary arter\w+ {_GAP}(?:prominen\w+|enlarge\w+|hypertension) ; pulmonary hypertension
aortic calcification | | aorta | (?:aort\w+|vascular|arterial|coronary\w*|atherosclerotic|arch) {_GAP}calcif\w+ ; calcif\w+ {_GAP}(?:aort\w+|arch|coronary\w*|vascular\w*|arter\w+) ; athero\w+ ; arteriosclero\w+
tortuous aorta | | aorta | (?:tortuo\w+|ectatic|ectasia|uncoil\w+|unfold\w+|elongat\w+|dilat\w+|aneurysm\w*|prominen\w+|enlarged) {_GAP}{_GAP}(?:aort\w+|arch) ; aort\w+ (?:arch )?(?:\w+ )?{_GAP}(?:tortuo\w+|ectasia|ectatic|uncoil\w+|unfold\w+|elongat\w+|dilat\w+|aneurysm\w*|enlarge\w+|prominen\w+) ; aneurysm\w* ; tortuo(?:us|sity)
other calcification | | calcified | calcifi(?:ed|cations?|c)
degenerative spine | | spine | (?:degenerative|arthritic|hypertrophic|osteoarthritic) {_GAP}(?:changes?|disease|disc disease|spondylosis|spurring|osteoarthritis|joint disease|endplate\w*) ; degenerative ; spondylo\w+ ; osteophyt\w+ ; (?:endplate|disc|disk) (?:\w+ )?(?:spurring|narrowing|degeneration|changes|sclerosis) ; spur(?:s|ring) ; dish ; osteoarthrop\w+
arthritis | | joint | arthr(?:itis|itic|osis|opathy)\w* ; osteoarth\w+
scoliosis | | spine | (?:levo|dextro|kypho)?-?scoli\w+ ; (?:thoracic )?(?:curvature|convexity) ; kypho\w* ; kyphotic ; kyphosis
osteopenia | | bone | osteop[eo](?:nia|nic|rosis|rotic) ; demineraliz\w+ ; osteopor\w+ ; bone (?:loss|demineralization)
bone lesion | | bone | (?:lytic|blastic|sclerotic|destructive|osseous|bony|bone) (?:\w+ )?(?:lesions?|destruction|metast\w+)
elevated diaphragm | | diaphragm | (?:elevat\w+|eventrat\w+|raised|high) {_GAP}{_GAP}(?:hemi-?)?diaphragm\w* ; (?:hemi-?)?diaphragm\w* {_GAP}(?:elevat\w+|eventrat\w+|raised) ; eventration
hiatal hernia | | hernia | (?:hiatal|hiatus|diaphragmatic|paraesophageal|bochdalek|morgagni) hernias? ; herni\w+ ; (?:retrocardiac|intrathoracic) (?:air[ -]fluid level|stomach)
tracheal deviation | | trachea | (?:trache\w+|mediastin\w+) (?:\w+ )?(?:deviat\w+|shift\w*|narrowing|displac\w+) ; (?:deviat\w+|shift\w*|displac\w+) of (?:the )?(?:trachea|mediastin\w+)
dextrocardia | | heart | dextrocardia ; situs inversus
deformity | | bone | (?:(?:chest wall|rib|ribs|clavicle|clavicular|post-?traumatic) )*deformit(?:y|ies) ; pectus \w+ ; cervical ribs?
foreign body | | foreign | foreign bod(?:y|ies) ; bullets?(?: fragments?)? ; radiopaque \w+ ; shrapnel
tuberculosis | | lesion | tubercul(?:osis|ous)|tb
sarcoidosis | | interstitial | sarcoid\w* ; pneumoconiosis ; silicosis ; asbestosis
aspiration | | airspace | aspirat(?:ion|ed)
hemorrhage | | airspace | h(?:a)?emorrhage\w* ; hematoma ; contusions?
bowel gas | | abdomen | (?:dilated|distended) (?:\w+ )?(?:bowel|colon|stomach|loops)\w* ; gastric distention ; colonic interposition
fissure thickening | | pleura | (?:fissur\w+ (?:thickening|prominence)|thickening of (?:the )?(?:\w+ )?fissure) ; thickened fissure
"""


class Subject(NamedTuple):
    """A part of the chest that reports call normal, or enlarged: where enlargement means something, it has a concept."""

    name: str
    pattern: str
    large: Concept | None
    family: str


CARDIOMEGALY = Concept(
    "cardiomegaly", "Cardiomegaly", "heart", ("cardio-?megaly", "cardiac enlargement", "megalocardia")
)
MEDIASTINUM = Concept(
    "wide mediastinum", "Enlarged Cardiomediastinum", "mediastinum", ("mediastinal (?:widening|enlargement)",)
)
ABNORMALITY = Concept("abnormality", None, "any", (
    "(?:abnormalit(?:y|ies)|abnormal) ?", "(?:active|acute|cardiopulmonary|cardiac|pulmonary|pleural|pleura|chest|lung|intrathoracic|bony|osseous|traumatic) (?:or \\w+ )?(?:disease|diseases|process(?:es)?|findings?|injury|pathology)",
    "(?:acute|significant|active|remarkable|focal) (?:\\w+ )?findings?",
))  # fmt: skip
SUBJECTS = (
    Subject("heart", r"(?:heart|cardiac) (?:sizes?|silhouettes?|shadows?|outlines?|contours?|borders?)(?: size)?|(?<!right\s)(?<!left\s)heart(?! (?:failure|borders?|valve)\b)|cardiac(?= (?:and|,|/) ?(?:mediastin|aort|pulmon|hilar))", CARDIOMEGALY, "heart"),
    Subject("mediastinum", r"cardio[ -]?mediastin\w+(?: (?:silhouettes?|outlines?|contours?|structures?|shadows?|size))?|mediastinum|mediastinal(?= and (?:hilar|cardiac))|mediastinal (?:and \w+ )?(?:silhouettes?|contours?|configuration|structures?|borders?|margins?|width|shadow)|mediastin\w+(?= and cardiac)", MEDIASTINUM, "mediastinum"),
    Subject("lungs", r"lungs?(?: (?:fields?|parenchyma|zones?|apices|bases))?(?! volumes?)|hemi-?thora(?:x|ces)|pulmonary parenchyma|apices|lung fields", None, "airspace"),
    Subject("pleura", r"pleural? (?:spaces?|surfaces?)|pleura|costophrenic (?:angles?|sulci|sulcus)", None, "effusion"),
    Subject("vessels", r"(?:pulmonary |lung )?(?:vascularity|vasculature|vascular markings|vascular pattern)|pulmonary (?:xxxx|vessels)", None, "edema"),
    Subject("bones", r"(?:bony|osseous|skeletal) (?:\w+ )?(?:structures?|thorax|abnormalit\w+)|bones?|skeleton|ribs|spine|osseous structures|bony thorax", None, "bone"),
    Subject("hila", r"hil(?:a|um|ar)(?: (?:contours?|structures?))?", None, "hilum"),
    Subject("diaphragm", r"(?:hemi-?)?diaphragms?", None, "diaphragm"),
    Subject("trachea", r"trachea", None, "trachea"),
    Subject("aorta", r"aorta|aortic (?:contour|arch|knob)", None, "aorta"),
    Subject("abdomen", r"(?:upper )?abdomen|soft tissues?|bowel gas(?: pattern)?", None, "abdomen"),
    Subject("chest", r"chest(?: (?:radiographs?|x-?rays?|films?|exam\w*|study))?|study|exam(?:ination)?|radiographs?", None, "any"),
    Subject("lung volumes", r"lung volumes|inspiration|inflation|inspiratory effort|aeration", None, "volumes"),
)  # fmt: skip
# a normal statement on these contradicts a finding of the subject's family, and of these
CLEARED = {"lungs": ("airspace", "atelectasis", "lesion", "interstitial", "scar"), "pleura": ("effusion", "pleura", "pneumothorax"), "vessels": ("edema",), "bones": ("fracture", "bone", "spine")}  # fmt: skip


def _concept(line: str) -> Concept:
    name, observation, family, phrases = (part.strip() for part in line.split("|", 3))
    return Concept(name, observation or None, family, tuple(p.strip() for p in re.split(r" ?; ", phrases) if p.strip()))


CONCEPTS = (*(_concept(line) for line in _TABLE.strip().splitlines()), CARDIOMEGALY, MEDIASTINUM, ABNORMALITY)


def words_regex(patterns: tuple[str, ...]) -> str:
    """Alternatives that match whole words only; blanks match any white space."""
    return rf"(?<![\w])(?:{'|'.join(patterns)})(?![\w])".replace(" ", r"\s+").replace(r"\s+?", r"\s*")


@functools.cache
def scanner() -> re.Pattern[str]:
    """All concepts in one expression; the group ``c7`` belongs to ``CONCEPTS[7]``."""
    parts = (f"(?P<c{n}>{words_regex(c.patterns)})" for n, c in enumerate(CONCEPTS))
    return re.compile("|".join(parts), re.IGNORECASE)


@functools.cache
def subject_scanner() -> re.Pattern[str]:
    """All subjects in one expression; the group ``s2`` belongs to ``SUBJECTS[2]``."""
    parts = (f"(?P<s{n}>{words_regex((s.pattern,))})" for n, s in enumerate(SUBJECTS))
    return re.compile("|".join(parts), re.IGNORECASE)
