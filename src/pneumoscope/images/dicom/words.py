"""Words for views and body parts in free text, in several languages.

Text is split at all characters other than letters, and whole words are compared: ``PLATE`` and
``BILATERAL`` do not match ``LAT``. English, German, French, Spanish, Italian, Portuguese and Dutch
are supported; accents are ignored.
"""

from __future__ import annotations

import re
import unicodedata

_LETTERS = re.compile(r"[A-Z]+")
_ABBREVIATION = re.compile(r"\b([A-Z])\.\s?([A-Z])\b|\b([AP])[-/ ]([AP])\b")  # p.a., A-P
_SPLIT_COMPOUND = re.compile(r"\b(BI|UNI|CONTRA|IPSI|COL)[-_ ](?=LATERAL)|\bBED[-_ ](?=SIDE)")

_LATERAL = frozenset(
    """
    LAT LATL LATR LLAT RLAT XLAT XTLAT LATERAL LATERALE LATERALES LATERALIS LATERAAL LATERALLY
    LATERO LATEROLATERAL LATEROLATERALE LATEROMEDIAL MEDIOLATERAL SEITLICH SEITLICHE SEITL
    SEITENAUFNAHME SEITENANSICHT SEITENBILD PROFIL PROFILO PERFIL PROFIEL ZIJDELINGS ZIJWAARTS
    ZIJAANZICHT DWARS SAGITTAL SAGITTALE SAGITAL SAGITTAAL SIDEVIEW
    """.split()  # noqa: SIM905 - a list of words reads better so
)
_OBLIQUE = frozenset(
    """
    OBL OBLIQ OBLIQUE OBLIQUA OBLIQUO OBLICUA OBLICUO OBLIQ SCHRAG SCHRAEG SCHUIN
    LAO RAO LPO RPO LLO RLO
    """.split()  # noqa: SIM905 - the same
)
_COMPOUND = re.compile(
    r"(AP|PA|POST|ANT|CHEST|THORAX|CXR)LAT(ERAL)?|.*SEITLICH|.*LATERAL(E|ES|IS)?"
)
_NO_VIEW = frozenset("BILATERAL BILATERALE UNILATERAL CONTRALATERAL IPSILATERAL COLLATERAL".split())  # noqa: SIM905
_DECUBITUS = frozenset("DECUB DECUBITUS DECUBITO DECUBITE LLD RLD".split())  # noqa: SIM905
_LYING = frozenset("DORSAL DORSALE DORSALIS SUPINE SUPIN SUPINO VENTRAL PRONE PRONO".split())  # noqa: SIM905
# Too short or ambiguous for a description, but unambiguous in an element for views.
_VIEW_ONLY = frozenset("LL RL SIDE PROFILE ZIJ SAG".split())  # noqa: SIM905
_FRONTAL = frozenset(
    """
    AP PA FRONTAL FRONTALE FACE FRENTE FRONT ANTEROPOSTERIOR POSTEROANTERIOR DV VD DORSOVENTRAL
    VENTRODORSAL POSTERO ANTERO LORDOTIC
    """.split()  # noqa: SIM905 - the same
)

_CHEST = frozenset(
    """
    CHEST THORAX TORAX TORACE LUNG LUNGS LUNGE PULMO PULMON PULMONES POUMON POUMONS
    POLMONE POLMONI PULMAO PULMOES RIB RIBS CXR BABYGRAM
    """.split()  # noqa: SIM905 - the same
)
_SIDES = frozenset(
    "VIEW VIEWS L R LT RT LEFT RIGHT LI RE LINKS RECHTS BILAT BILATERAL BOTH".split()  # noqa: SIM905
)
_PROJECTIONS = frozenset("AP PA LAT LATERAL OBL OBLIQUE".split())  # noqa: SIM905 - the same
_ELSEWHERE = frozenset(
    # Defined terms of PS3.16 annex L for parts that a frontal chest radiograph does not show.
    """
    ABDOMEN ANKLE ARM BLADDER BRAIN BREAST CALF CALCANEUS COCCYX COLON CSPINE EAR ELBOW EXTREMITY
    EYE FACE FEMUR FINGER FOOT FOREARM HAND HEAD HIP HUMERUS JAW KIDNEY KNEE LEG LOWEXTREMITY
    LSPINE LSSPINE LUMBAR MANDIBLE MAXILLA NECK NOSE ORBIT PATELLA PELVIS RADIUS SACRUM SCALP
    SHOULDER SIJOINT SINUS SKULL SPINE SSPINE STOMACH TEETH THIGH THUMB TIBIA TIBIAFIBULA TMJ TOE
    TSPINE ULNA UPEXTREMITY URETER UTERUS WRIST ZYGOMA LOWEREXTREMITY UPPEREXTREMITY
    LOWERLEG UPPERLEG UPPERARM LOWERARM KUB
    CERVICAL CERVICALSPINE THORACICSPINE LUMBARSPINE LUMBOSACRALSPINE
    """.split()  # noqa: SIM905 - the same
) | frozenset(
    # The most frequent of them in other languages, unless the word has another meaning.
    """
    KNIE SCHADEL SCHAEDEL BECKEN SCHULTER HUFTE HUEFTE ELLENBOGEN ELLBOGEN HANDGELENK
    SPRUNGGELENK GENOU CRANE BASSIN EPAULE HANCHE PIED COUDE POIGNET CHEVILLE
    MANO RODILLA CRANEO HOMBRO CADERA CODO MUNECA TOBILLO GINOCCHIO CRANIO BACINO SPALLA PIEDE
    GOMITO POLSO CAVIGLIA SCHEDEL BEKKEN SCHOUDER HEUP VOET ELLEBOOG ENKEL JOELHO BACIA OMBRO
    QUADRIL COTOVELO PUNHO TORNOZELO ADDOME
    """.split()  # noqa: SIM905 - the same
)


def words_of(text: str) -> list[str]:
    """Return the words of a text in upper case without accents.

    >>> words_of("Schräg, 2.Ebene, p.a.")
    ['SCHRAG', 'EBENE', 'PA']
    """
    plain = unicodedata.normalize("NFKD", text.upper())
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter))
    plain = _ABBREVIATION.sub(lambda found: "".join(filter(None, found.groups())), plain)
    return _LETTERS.findall(_SPLIT_COMPOUND.sub(lambda found: found[0].strip("-_ "), plain))


def other_view(text: str, *, strict: bool = False) -> str:
    """Return a word that names a lateral, oblique or decubitus view; empty if none.

    Args:
        text: A view, or a description of an image.
        strict: Whether to accept only words that are unambiguous in a description.

    Example:
        >>> other_view("PA PLATE"), other_view("Thorax seitl.")
        ('', 'SEITL')
    """
    words = words_of(text)
    plain = _LATERAL | _OBLIQUE if strict else _LATERAL | _OBLIQUE | _VIEW_ONLY
    for word in words:
        if word in plain or (_COMPOUND.fullmatch(word) and word not in _NO_VIEW):
            return word
        if word in _DECUBITUS and not _LYING & set(words):
            return word
    return ""


def says_frontal(text: str) -> bool:
    """Return whether a text names a frontal view."""
    return any(word in _FRONTAL for word in words_of(text))


def projection(text: str) -> str:
    """Return ``AP`` or ``PA`` if a text names exactly one of them."""
    found = {"AP", "PA"} & set(words_of(text))
    return found.pop() if len(found) == 1 else ""


def is_chest(text: str) -> bool:
    """Return whether a body part names the chest."""
    return any(word in _CHEST for word in words_of(text))


def is_elsewhere(text: str) -> bool:
    """Return whether a body part, without side and view, names another part than the chest.

    Free text that only mentions another part does not count.

    >>> is_elsewhere("Hand left, AP"), is_elsewhere("C-SPINE"), is_elsewhere("hand held film")
    (True, True, False)
    """
    words = [word for word in words_of(text) if word not in _SIDES and word not in _PROJECTIONS]
    words = [
        word.removesuffix("S") if word.removesuffix("S") in _ELSEWHERE else word for word in words
    ]
    return "".join(words) in _ELSEWHERE or (bool(words) and set(words) <= _ELSEWHERE)
