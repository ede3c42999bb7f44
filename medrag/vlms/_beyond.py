"""Questions that no look at a picture answers: what to do, how it will end, how many centimetres it has, what to make of it, and what is no question at all.

A small model guesses at them from the picture all the same ("Pacemaker." for a treatment, "1.5 cm." for whatever it is); the words of the evidence answer, or nobody does.
"""

from __future__ import annotations

import re

from medrag._util.manner import plainly
from medrag._util.text import plain_marks

_BEYOND = re.compile(
    r"^\W*(?:what|which|how)\b.*\b(?:treat(?:ed|ment|ments)?|therap(?:y|ies)|manag(?:e|ed|ement)|medications?|drugs?|antibiotics?|recommend\w*|advi[sc]e|prognosis|outlook"
    r"|survival|next steps?|done next|do next|follow-?up|serious|urgent|dangerous|cured?)\b"
    r"|^\W*what (?:should|shall|would|can|could|do) (?:i|we|you|he|she|they|one|the patient|be done)\b(?! (?:see|describe|call|make out|notice|find|identify|observe))"
    r"|^\W*(?:should|shall|must|will|does|do|can|would) (?:i|we|you|he|she|they|(?:the|this|my) (?:patient|man|woman|child))\b.*\b(?:treat\w*|therapy|surgery|operat(?:ed|ion)"
    r"|medications?|antibiotics?|worr(?:y|ied)|surviv\w+|die|hospitali[sz]ed|admitted|follow-?up|recommend|need|managed)\b"
    r"|^\W*(?:is|are) (?:it|this|that|they|these|he|she|the \w+) (?:serious|dangerous|life-threatening|urgent|an emergency|curable|treatable|contagious|infectious)\W*$"
    r"|^\W*(?:is|are) (?:the|his|her|this|these|that) (?:[\w-]+ ){0,3}(?:tubes?|lines?|catheters?|leads?|pacemaker|drains?|stents?|wires?|ett|ngt|cvc|picc)(?: tip)? (?:\w+ly |well )?"
    r"(?:placed|positioned|malpositioned|misplaced|located|in (?:an? |the )?(?:\w+ )?(?:place|position|location))\W*$"
    r"|^\W*(?:does|do|should) (?:this|it|that|these|he|she) (?:\w+ )?(?:need|require|warrant)\b"
    r"|^\W*(?:how old\b(?! (?:is|are) (?:the|this) (?!patient|man|woman|child))|what(?:'s| is) (?:the |this |his |her )?(?:patient(?:'s)? )?(?:age|sex|gender|race|weight|height|ethnicity)(?: of (?:the|this) (?:patient|man|woman|person|child))?\W*$|what(?:'s| is) (?:the |this )?patient(?:'s)? name\b|what (?:sex|gender|age) )"
    r"|^\W*is (?:(?:the|this) patient|this|it|he|she) (?:an? )?(?:male or (?:an? )?female|female or (?:an? )?male|man or (?:an? )?woman|woman or (?:an? )?man)\b"
    r"|^\W*(?:why\b|what (?:could|can|might|may|would) (?:be causing|cause|explain|account for|lead to)|what (?:causes|caused|is causing|explains)|what(?:'s| is| are) the (?:\w+ )?(?:causes?|reasons?|etiolog(?:y|ies)|mechanism) )"
    r"|\bworr(?:y|ied)\b|^\W*(?:do|don't) you agree\W*$|^\W*(?:are you|how) (?:sure|certain|confident)\b|^\W*what do you think\b"
    r"|^\W*(?:who|what) are you\b|^\W*(?:hi|hello|hey|thanks?|thank you|ok(?:ay)?|bye|goodbye|yes|no|great|good|nice|cool|wow)(?: (?:there|you|very much|so much))*\W*$",
    re.IGNORECASE,
)
_ORGAN = re.compile(r"\b(?:heart|cardiac|silhouette|mediastin\w+|aorta|aortic|hil(?:um|a|ar)|lungs?|kidneys?|liver|spleen|ventricles?|inspiration|volume status)\b", re.IGNORECASE)  # fmt: skip
_LESION = re.compile(
    r"\b(?:lesion|mass|nodule|tumou?r|opacity|effusion|pneumothorax|abscess|cyst)(?:e?s)?\b", re.IGNORECASE
)
_MEASURED = re.compile(  # of a finding; that an organ is large can be seen
    r"^\W*(?:and )?(?:how (?:large|big|wide|long|tall|thick|deep)\b|what(?:'s| is| are|) (?:its |the |their )?(?:size|diameter|dimension|length|width|thickness|volume)s?\b)"
    r"|\bin (?:cm|mm|centimet\w+|millimet\w+)\W*$|^\W*measure\b",
    re.IGNORECASE,
)


_ENGLISH = re.compile(
    r"\b(?:are|were|the|there|does|did|has|have|what|which|where|why|how|who|any|this|that|of|and|with|describe|show|see|write|seen|fever|syndrome)\b|^\W*(?:is|was|do) (?:it|he|she|you|there)\b",
    re.IGNORECASE,
)
_FOREIGN = re.compile(
    r"\b(?:gibt es|was (?:ist|sind|zeigt)|ist|sind|welche[rsn]?|zeigt|liegt|eine?[nmr]?|der|das|nicht|wie|wo|hay|est[aá]|cu[aá]l|qu[eé]|d[oó]nde|tiene|muestra|los|las|una|est-ce|y a-t-il|quelle?s?|montre|une|des|les|sur|c['’]è|er een|esiste|quale|mostra|della|existe|há|onde|heeft|zijn|een)\b"
    r"|[\u0400-\u04ff\u0590-\u06ff\u0900-\u0dff\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7af]",
    re.IGNORECASE,
)


def foreign(question: str) -> bool:
    """Whether a question is in a language that the small model was not taught: no word of English, and one of another.

    >>> [foreign(q) for q in ("Gibt es einen Pleuraerguss?", "¿Hay derrame pleural?", "Any effusion?", "Heart size?")]
    [True, True, False, False]
    """
    return not _ENGLISH.search(question) and bool(_FOREIGN.search(question))


def beyond(question: str) -> bool:
    """Whether a question is of that sort.

    >>> [beyond(q) for q in ("What treatment do you recommend?", "Is the tube in the right place?", "How large is it?", "Are there surgical clips?", "What do you see?")]
    [True, True, True, False, False]
    """
    return bool(_BEYOND.search(plain_marks(plainly(question))) or measured(question) or foreign(question))


def measured(question: str) -> bool:
    """Whether it asks how large a thing is that a picture shows: no book and no other patient's report knows."""
    asked = plainly(question)
    return bool(_MEASURED.search(asked) and (_LESION.search(asked) or not _ORGAN.search(asked)))
