"""The words by which the small model's training questions name what they ask about, as stems: of others it can only guess.

They are those of `parse(question).finding` over the questions of IU X-Ray (train) and VQA-RAD (the part not held back); the test with the data
pack makes them again. An index of words, no question and no answer of either set.
"""

from __future__ import annotations

TAUGHT = frozenset(
    """
10th 3rd 4th 5th 6th 7th 8th 9th abcess abdomin able abnorm abnormal above abscess accentu accumul acquir acromioclavicul across addition adenopath
adequat adjacent adject administer adren aerat affect again age-indeterminat agent aging air air-fill air-fluid alarm all alone along alter alternat
alveol amount anatom anchor aneurysm anonymiz anoxic anterior-posterior anterolater anteroposterior anyth anywher ap apparent appendicit appendix
approximate arch arm around arter arthrit arthroplast artifact ascit aside aspect aspir assess associ asymmetr atelectas atelectat atheroscleros
atherosclerot atrial atroph atrophi attenu avascul axial axillar azygo azygoesophage backward bacter bandlik based behind besid best biapic bilateral
biliar black bladd bladder blood blunt blurr body border borderlin both bottom bowel brainstem branch bright brightness bronchovascul bubbl bulging
bulla bullet bump bypass cabg caking calcif calcifi call called callos cancer cancero captur cardi cardiophren cardiopulmonar cardiovascul categor
catheter catheter' caudat cause causing cava cavit cavitar cecum celiac center centr cerebell cerebr cervic chang characterist characteriz chiasm
cholecystectom choroid chostrochondr chron chronical cilia circul cirrhot clavicul clear clip clot cm cns coars coarsen collaps collect colon color
column comparison compart compatibl complet complete complex component composit compress conal concern conclus condit confirm confluent congest
consider consistenc consolid constitut content contrast contrast-enhanc convexit copd coronar corpus correct cortex cortic costovertebr crani cross
crowd csf cuff cuffing curvatur curviline cut cv cyst cystic cytotox damag dark decreas defect deficit definitive deformit degener degrad delineat
demineraliz demonstr dense denser deominstrat dependent depict depress descend determin develop deviat devic dextrocard dextrocurv dextroscolios
diameter dictat different differenti difficult diffus diffuse dilat dimens diminish direct diseas displac display disrupt dissect distal distend
distribut done dot ductal duoden easil ectas ectat ectop edema edemato edge effect effort effus eg ekg elevat else embol emboliz emphysem encompass
end endotrache endplat engorg enhanc enlarg enough epicard epidur esophag essential et etiolog evalu evaluat eventr exagger excavat exceed exclud
expand expansil expect expir explan expos extend exterior extern extreme failur fasci fat favor featur fece feeding femal fibrot fifth filled filling
first fissur flair flatten flowing fluid focal foci foot foreign form format found fractur fragment front fullness fusion gall gallbladder gallston
gangl gas gastr gb gender generaliz genet get gi given glass going good graft granulom gray gray-whit greater greatest grey grey-whit ground growing
gunshot gyral h half happen hardwar haziness head heavi height hematom hemidiaphragmat hemispher hemithorax hemmorhag hemodialys hemorrhag hemothorax
hepat here herni heterogeneo heterogeno hiatal higher highlight his histor homogeneo homogeno horn hour human humer hydrocephal hydronephros hyper
hyper-intens hyperattenu hyperdens hyperdensit hyperinfl hyperintens hyperintensit hyperlucenc hypertens hypertroph hypo hypo-dens hypoattenu hypodens
hypodensit hypoinfl hypointens hypoventil identif ileac iliac ill-defin image' imaged imaging immediate impact important inabilit inappropriat
inappropriate includ increas indictat infarct infect inferior infiltr infiltrat inflam inflamm inflat inform ing ingest injur inlet innumerabl insid
inspir inspirator int intens intensit interior intern interspac interstit interstiti interv intesit intestin intrahepat intramedullar intraparenchym
intraperitone intraventricul intub intussescept intussuscept involv irregul irregularit ischem issue iv jejun joint junct just kind knee knob kub
kyphos kyphot l l1 l1-l2 larger largest lateralit layer leakag least lens-shap lesion lesion' less level levoscolios ligamento light lighter line
lobectom lobul locat locul long looking loop loss low lucenc lucent lumbar lumen lying lymph lymphadenopath made magnifi major malalign male manag
many margin marked mass masslik mastectom mater matter maxim mca meant measur medial mediasti medic medull mention mesenter metastat method mid mid-
sagitt midbrain midlight midlin midlung midright midthorac mild mildl minim minut mirror mm modalit moderat moderate monitor more morpholog most
motion much multilevel multilobul multipl muscl muscul n name narrow natur near neck necros neighbor neoplast nerve network neuro new ng node nodul
non non-contrast noncalcifi noncontrast normal notabl now number numero object obliqu oblique obscur observabl obstruct obtain obvio occipit occlud
occluder old oment opacit open oral orbit order organ orient origin originat ossifi osteodystroph osteopen osteophyt otherwis outer outsid oval-shap
over overly ovoid pa pad pancre pancreat parahil parasit paraspin paratrache parenchym part parti patch patent path patholog pattern pectus pelvic
pelvis penetr perfor peribronch pericholecyst pericol pericolon perinephr peripher peritone peritrache persistent phase physic picc pictur pierc
placed placeholder plain plane platelik pleural-parenchym pneumon pneumoperitone pneumothorax pneuomothorax portal portion position possib post-
sternotom posteriolater posterolater postoper predict predominant presenc presumab primar primari principal probab probabl problem procedur process
project projectil prominenc prominent proper prosthes prosthet provid proxim pseudocsyst pseudocyst punctat pushing quadrant qualit r radiat radiolog
radiopaqu ragged raise range ray real receiv recent recess rectus reduc referr regul relat remarkabl remov renal repair replac represent requir residu
restrict reticulonodul retrocardiac retrocrur retropuls right-sid rim ring ring-enhanc rotat rotator round ruptur s same scanner scaphoid scarr
scatter scleros scolios section seeded seem segment select senescent sensit septal septat sequela sequenc sever sex shadow shape sharp shift shorten
showing shrunk shunt sigmoid signal signif simil singl singul sinus sixth sized skull slice slight small smooth soft-tissu solid solitar spared speci
specif splee spleen spondylos spurr stand stent sternotom still stomac stool strand streak strip subarachnoid subclavian subcutaneo subdiaphragmat
subdur sublux suboptim subsegment substanc subtl sufficient sulci superfic superimpos superior superior-most supin surger surgic surround suspicio
sustain sutur svc swell swollen symmetr synonymo system t-spin t1 t10 t12 t2 t7 take taken taking tempor tension term territor test them therap
thicken thoracolumb thrombos through throughout time tip too top tortuo tortuosit tram-track transcrib transvers traum tricompartment trunk tube
tuberculos tubing tumor type under underexpos undergon underinfl underly undul unifi uniform unilater unremarkabl unspecifi unstabl unusu up ureter
use used utiliz vague valve varied vein vena venous ventricl ventricul vertebro-basil vertic veterbr via viewed viral viscus visualizabl vp vs we
wedge wedging weight well well-circumscrib well-defin white wide widen width wilm wire worsen wound wrong x xxxx xxxx-a-xxxx
""".split()
)
