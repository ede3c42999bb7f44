"""The words by which the small model's training questions name what they ask about, as stems: of others it can only guess.

They are those of `parse(question).finding` over the questions of IU X-Ray (train) and VQA-RAD (the part not held back) that two questions or more hold; a
test with the data pack looks for them. An index of words, no question and no answer of either set.
"""

from __future__ import annotations

TAUGHT = frozenset(
    """
10th 4th 5th 6th 7th 8th 9th abdomin able abnorm abnormal above abscess acquir acromioclavicul across addition adenopath adren aerat affect air air-
fluid all along alveol anatom aneurysm anoxic anyth ap appendicit appendix approximate arch arm around arter arthrit artifact ascit aspir assess
associ asymmetr atelectas atheroscleros atherosclerot atroph atrophi attenu axial axillar azygoesophage bandlik besid best bilateral black bladder
blood blunt blurr body border borderlin both bowel brainstem branch bright bronchovascul bubbl bulla bullet bypass cabg calcif calcifi call cancer
catheter caudat cause causing cava cavit cavitar celiac centr cerebell cerebr cervic chang characteriz cholecystectom chron circul clear clip cm coars
collaps collect colon column compatibl compress conal concern condit confirm confluent congest consider consolid contrast copd coronar cortex cortic
crani cross crowd csf cuff cut cyst cystic dark decreas deficit deformit degener demonstr dense denser dependent depict descend determin develop
deviat devic dextroscolios diameter different differenti diffus dilat direct diseas display distal distend distribut dot ductal duoden ectas ectat
edema edemato effect effus elevat else embol emphysem endplat engorg enhanc enlarg enough epidur etiolog evalu eventr failur fasci fat fifth filled
first fissur flair flatten flowing fluid focal foci foreign found fractur fragment front fullness fusion gall gallbladder gallston gangl gas gastr gb
genet given glass good graft granulom gray gray-whit greater grey grey-whit ground growing half happen head height hematom hemispher hemorrhag hepat
here herni heterogeneo heterogeno higher highlight his histor homogeneo homogeno horn humer hyper hyperattenu hyperdens hyperdensit hyperinfl
hyperintens hyperintensit hyperlucenc hypo hypodensit hypoinfl hypointens identif imaged imaging increas infarct infect inferior infiltrat inflam
inflamm inflat injur insid int intensit intern interstit interv intestin intrahepat intub intussuscept involv irregul irregularit ischem iv jejun
joint junct just kind knee knob kub kyphos l1 larger largest layer least lens-shap lesion less level line lobectom locat locul looking loop low lucenc
lumbar lymph lymphadenopath made male many margin mass mater matter measur medial medic medull mention mesenter mid midbrain midlin midlung midthorac
mild mildl minim mm modalit moderat moderate more most motion multilevel multipl muscl name natur near nerve new node nodul non-contrast noncalcifi
noncontrast normal obscur obstruct occipit old oment opacit open oral order organ orient origin osteopen osteophyt otherwis outsid oval-shap over
overly pa pancre pancreat parasit paratrache parenchym part parti patch patent path patholog pattern pelvis perfor peripher peritone persistent physic
pictur placed plane pleural-parenchym pneumon pneumoperitone pneumothorax portal portion position possib postoper presenc presumab primar primari
problem process project prominenc proper punctat pushing quadrant r radiolog radiopaqu ray receiv recess rectus reduc referr regul relat remarkabl
renal repair replac represent restrict retrocardiac rim ring ring-enhanc rotat rotator round s same scarr scatter scolios section segment sequela
sequenc sever shadow shape shift sigmoid signal sinus skull slice slight soft-tissu solid spared specif spleen spondylos stent sternotom still strand
streak subarachnoid subcutaneo subdur subsegment sufficient sulci superfic superimpos superior supin surger surgic surround suspicio sutur swell
symmetr system t-spin t1 t10 t2 take taken tempor tension term territor test therap thicken thoracolumb throughout time tip top tortuo tortuosit tram-
track transcrib transvers trunk tube tumor type under underexpos undergon uniform unremarkabl unspecifi unusu up ureter use used valve vein vena
venous ventricl ventricul viral vs we weight well white wide widen width wilm wrong x xxxx
""".split()
)
