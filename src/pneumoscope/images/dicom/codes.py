"""Codes of views and body parts in DICOM headers.

Source: PS3.16 of the DICOM standard, context groups 4010 (DX View) and 4031 (Common Anatomic
Region), with the lordotic projection and the decubitus positions from SNOMED CT. The older
SNOMED-RT codes (scheme designators SRT, SNM3 and 99SDM) of the same concepts are in the mapping of
PS3.16 annex O. The codes of the two schemes are distinct, so the designator, which is the part that
is most often wrong, is ignored.
"""

from __future__ import annotations

from collections.abc import Mapping


def _table(lines: str) -> Mapping[str, str]:
    """Return code → meaning for lines of SNOMED CT code, SNOMED-RT code (or ``-``), meaning."""
    found = {}
    for line in lines.strip().splitlines():
        modern, old, meaning = line.split(None, 2)
        found[modern] = found[old] = meaning
    found.pop("-", None)
    return found


FRONTAL_VIEWS = _table("""
    399348003 R-10206 antero-posterior
    399033003 R-10202 frontal
    272479007 R-40888 postero-anterior
    260450008 R-40799 lordotic
""")
"""Views that can be assessed."""

OTHER_VIEWS = _table("""
    399242004 R-102C6 acanthioparietal
    399312000 R-10208 antero-posterior oblique
    399061009 R-10241 axial
    399196006 R-10244 caudo-cranial
    399162004 R-10242 cranio-caudal
    399335002 R-102C4 dorsoplantar
    399160007 R-10204 frontal oblique
    399132005 R-10252 frontal-oblique axial
    399067008 R-102CD lateral
    32185000 F-10318 lateral decubitus
    260427002 R-40783 lateral oblique
    399352003 R-10228 lateral-medial
    399099002 R-10230 latero-medial oblique
    399135007 R-10220 left anterior oblique
    399173006 R-10236 left lateral
    102536004 F-10319 left lateral decubitus
    399184004 R-10238 left oblique
    399006002 R-10212 left posterior oblique
    260426006 R-40782 medial oblique
    399260004 R-10224 medial-lateral
    399368009 R-10226 medio-lateral oblique
    399182000 R-102C1 oblique
    399004004 R-10246 oblique axial
    399225005 R-10250 oblique caudo-cranial
    399288005 R-10248 oblique cranio-caudal
    260499007 R-40810 occlusal
    399351005 R-102C7 orbitoparietal
    399316002 R-102C8 parieto-orbital
    399272005 R-102C5 parietoacanthial
    399071006 R-102C3 plantodorsal
    399059000 R-10216 postero-anterior oblique
    399356000 R-40985 right anterior oblique
    399198007 R-10232 right lateral
    102535000 F-10317 right lateral decubitus
    399236003 R-10234 right oblique
    399038007 R-10210 right posterior oblique
    30730003 G-A145 sagittal
    399325008 R-10254 sagittal-oblique axial
    399255003 R-10256 submentovertical
    399110001 R-102C2 tangential
    399360002 R-10257 verticosubmental
""")
"""Lateral and oblique views, and views of other parts of the body."""

CHEST_REGIONS = _table("""
    816094009 - chest
    51185008 T-D3000 thorax
    39607008 T-28000 lung
    86598002 T-280A0 apex of lung
    72410000 T-D3300 mediastinum
    80891009 T-32000 heart
    44567001 T-25000 trachea
    955009 T-26000 bronchus
    113197003 T-11300 rib
    56873002 T-11210 sternum
    51299004 T-12310 clavicle
    416319003 R-FAB54 neck, chest, abdomen and pelvis
    416550000 R-FAB55 chest and abdomen
    417437006 R-FAB52 neck and chest
    416152001 R-FAB53 neck, chest and abdomen
    416775004 R-FAB56 chest, abdomen and pelvis
    38266002 T-D0010 entire body
""")
"""Regions that a chest radiograph shows, alone or with others."""

OTHER_REGIONS = _table("""
    818981001 - abdomen
    113345001 T-D4000 abdomen
    818982008 - abdomen and pelvis
    70258002 T-15750 ankle joint
    53505006 T-59900 anus
    28273000 T-60610 bile duct
    34707002 T-60600 biliary tract
    89837001 T-74000 bladder
    72001000 T-12700 bone of lower limb
    371195002 T-D0821 bone of upper limb
    76752008 T-04000 breast
    80144004 T-12770 calcaneus
    122494005 T-11501 cervical spine
    64688005 T-11BF0 coccyx
    71854001 T-59300 colon
    79741001 T-64500 common bile duct
    38848004 T-58200 duodenum
    16953009 T-15430 elbow joint
    110861005 T-DD163 esophagus, stomach and duodenum
    81745001 T-AA000 eye
    371398005 T-D0801 eye region
    91397008 T-11196 facial bones
    71341001 T-12710 femur
    87342007 T-12750 fibula
    7569003 T-D8800 finger
    56459004 T-D9700 foot
    14975008 T-D8500 forearm
    28231008 T-63000 gallbladder
    85562004 T-D8700 hand
    69536005 T-D1100 head
    774007 T-D1000 head and neck
    29836001 T-D2500 hip
    24136001 T-15710 hip joint
    85050009 T-12410 humerus
    34516001 T-58600 ileum
    22356005 T-12340 ilium
    361078006 T-AB959 internal auditory canal
    661005 T-D1213 jaw region
    21306003 T-58400 jejunum
    72696002 T-D9200 knee
    14742008 T-59000 large intestine
    4596009 T-24100 larynx
    30021000 T-D9400 lower leg
    61685007 T-D9000 lower limb
    122496007 T-11503 lumbar spine
    1217253001 - lumbo-sacral spine
    91609006 T-11180 mandible
    59066005 T-11133 mastoid bone
    70925003 T-11170 maxilla
    102292000 T-14668 muscle of lower limb
    30608006 T-13600 muscle of upper limb
    74386004 T-11149 nasal bone
    45048000 T-D1600 neck
    55024004 T-11102 optic canal
    363654007 T-D14AE orbital structure
    15776009 T-65000 pancreas
    69930009 T-65010 pancreatic duct
    110621006 T-65600 pancreatic duct and bile duct systems
    2095001 T-22000 paranasal sinus
    45289007 T-61100 parotid gland
    64234005 T-12730 patella
    816092008 - pelvis
    12921003 T-D6000 pelvis
    1231522001 - pelvis and lower extremities
    41216001 T-92000 prostate
    34402009 T-59600 rectum
    1217254007 - sacro-coccygeal spine
    39723000 T-15680 sacroiliac joint
    54735007 T-11AD0 sacrum
    42575006 T-D1460 sella turcica
    58742003 T-12980 sesamoid bones of foot
    16982005 T-D2220 shoulder
    89546000 T-11100 skull
    30315005 T-58000 small intestine
    421060004 T-D04FF spine
    69695003 T-57000 stomach
    54019009 T-61300 submandibular gland
    27949001 T-15770 tarsal joint
    53620006 T-15290 temporomandibular joint
    68367000 T-D9100 thigh
    122495006 T-11502 thoracic spine
    1217256009 - thoraco-lumbar spine
    76505004 T-D8810 thumb
    29707007 T-D9800 toe
    40983000 T-D8200 upper arm
    53120007 T-D8000 upper limb
    431491007 T-7000B upper urinary tract
    87953007 T-73000 ureter
    13648007 T-75000 urethra
    110639002 T-88920 uterus and fallopian tubes
    74670003 T-15460 wrist joint
    13881006 T-11166 zygoma
""")
"""Anatomic regions other than the chest, by code."""
