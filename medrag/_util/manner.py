"""A question without its manners: "Hello, could you tell me whether there is a nodule?" asks "is there a nodule?".

What is asked is left as it is, word for word; what cannot be turned is not. A text of several sentences is treated sentence by sentence.
"""

from __future__ import annotations

import re

from medrag._util.remember import remembered
from medrag._util.text import plural

_GREETING = re.compile(
    r"^\W*(?:(?:hi|hello|hey|good (?:morning|afternoon|evening|day)|dear (?:doctor|colleagues?|all|sir|madam)|thanks|thank you)(?: there)?\s*(?:[,.!]\s*|$))+",
    re.IGNORECASE,
)
_THANKS = re.compile(
    r"[\s,.]*\b(?:please|pls|thanks|thank you(?: (?:very|so) much)?)\s?(?P<end>[?.!]*)\s?$", re.IGNORECASE
)
_DO = (  # "would you describe the mass as cystic?" wants yes or no
    r"(?:describe(?! [^?]{1,60} as )|explain|name|list|tell|say|check|see(?= if| whether)|determine|decide|verify|confirm|write|generate|draft|compose|give|provide|produce"
    r"|create|dictate|report|read|interpret|summari[sz]e|classify|diagnose|identify|grade|label|compare|define|rule out|exclude|(?:evaluate|assess|look|screen|search"
    r"|examine)(?= for| this)|let|find out|know|show me)\b"
)
_PLEASE = re.compile(
    rf"^\W*(?:(?:please|kindly|pls)[\s,]+|(?:(?:can|could|would|will) (?:you|u)|i(?: am|'m)? ?(?:'d like|would like|want|need|wish|wonder(?:ing)?|trying)"
    rf"(?: (?:you|to know))?(?: to)?|help me(?: to)?|do you)(?: please| kindly| also)*[\s,]+(?={_DO}|if\b|whether\b))",
    re.IGNORECASE,
)
_WHETHER = re.compile(
    r"^\W*(?:(?:tell (?:me|us)|let (?:me|us) know|say|check|see|determine|decide|assess|verify|confirm|know|find out|any idea)(?: from (?:this|the) \w+)?,? )?"
    r"(?:if|whether)(?: or not)? (?P<clause>[^,]+?)\W*$",
    re.IGNORECASE,
)
_THING = r"(?!what\b|which\b|where\b|how\b|why\b|who\b|when\b|if\b|whether\b|the\b|all\b|both\b|this\b|it\b|that\b|me\b)(?P<thing>[^.?!;]{2,90}?)"
_FOR = re.compile(
    rf"^\W*(?:(?:please )?r/o|rule out|exclude|(?:evaluate|assess|look|check|screen|search|examine)(?: (?:this|the) (?:film|image|picture|x-?ray|scan|study|radiograph))? for) {_THING}\W*$",
    re.IGNORECASE,
)
_EXCLUDED = re.compile(  # whether it is not there; "are the angles excluded on this view?" asks what was cut off
    rf"^\W*(?:is|are|was|were|has|have|can|could) (?!(?:the|he|she|they|you|we|i)\b)(?![^?]* (?:by|from) ){_THING}(?: be| been)?(?: \w+ly)? (?:excluded|ruled out)(?P<rest>(?: (?:in|on|here)\b[^.?!;]*)?)\W*$"
    rf"|^\W*(?:can|could) (?:you|we|i|one|it)(?: \w+ly)? (?:rule out|exclude) {_THING.replace('<thing>', '<sought>')}\W*$"
    r"|^\W*(?:is|are) there no (?:evidence of |signs? of )?(?P<none>(?!cure\b|treatment\b|other\b|need\b|evidence\b|signs?\b|longer\b|(?:\w+ )?changes?\b)[\w-]+(?: (?!of\b|or\b|and\b|but\b|nor\b|no\b|not\b|with\b|without\b|longer\b)[\w-]+){0,2})\W*$",
    re.IGNORECASE,
)
_SEE = re.compile(
    rf"^\W*(?:can|could|would|might|do) (?:you|u|we|one|i) (?:see|appreciate|detect|find|spot|notice|make out|visuali[sz]e|recogni[sz]e|observe|identify|diagnose) {_THING}\W*$",
    re.IGNORECASE,
)
_SEE_THE = re.compile(
    r"^\W*(?:can|could|do) (?:you|u|we|one|i) (?:see|appreciate|make out|visuali[sz]e|recogni[sz]e) (?P<thing>(?:the|all|both) [^.?!;]{2,90}?)\W*$",
    re.IGNORECASE,
)
_SEEN = re.compile(  # "by a blood test" and "in women" tell of books, not of a picture
    r"^\W*(?:can|could) (?P<thing>(?!(?:you|u|we|i|one|it|this|that|these|they|he|she|there|children|people|patients|women|men)\b)[^.?!;,]{2,90}?) be (?:(?P<eye>seen|appreciated|visuali[sz]ed)|detected|found|identified|recogni[sz]ed|observed)"
    r"(?P<rest>(?! (?:by|with|without|using|through|via|to|for|of|as|if|when|after|before|during|early|late|among|because)\b)(?! (?:in|on|at|within|from) (?!(?:this|these|the|his|her|its|either|both|left|right|any)\b))[^.?!;]*?)\W*$",
    re.IGNORECASE,
)
_BOUND = re.compile(r"^(?:an?|any|the|both|all|his|her) ", re.IGNORECASE)
_ON_IT = re.compile(  # it is plain that it is of the picture that is asked about
    r"\b(?:this|these|here|films?|images?|pictures?|x-?rays?|radiographs?|scans?|views?|lungs?|chest|left|right)\b",
    re.IGNORECASE,
)
_STATES_ED = (
    "enlarged|dilated|widened|elevated|blunted|deviated|shifted|calcified|collapsed|fractured|rotated|flattened|displaced|increased|decreased|inflated|hyperinflated|obscured|thickened"
    "|consolidated|congested|tilted|infected|malpositioned|misplaced|loculated|narrowed|compressed|scarred|distended|inverted|dislocated|related|associated|evaluated|assessed"
)
_DONE = (
    rf"(?:\w+ly |also |still |ever )?(?:(?!(?:{_STATES_ED})\b)\w{{3,}}ed|done|given|taken|made|spread|caught|felt)\b"
)
_COULD_BE = re.compile(  # not what can be done: "Can the disease be cured?"
    rf"^\W*(?:can|could|may|might|would) (?P<subject>this|it|that|these|there|(?P<named>(?:the|his|her) (?!patient\b)[\w-]+(?: (?!not\b)[\w-]+)?)) be (?P<rest>(?!{_DONE}).+)$",
    re.IGNORECASE,
)
_COULD_HAVE = re.compile(
    r"^\W*(?:can|could|may|might|would) (?P<subject>(?:(?:the|this|my) )?(?:patient|man|woman)|he|she|it|this) have (?P<rest>.+)$",
    re.IGNORECASE,
)
_CALLED = re.compile(
    r"^\W*(?:would|do|can|could) you (?:call|consider|say(?: that)?) (?P<thing>(?:the|this|it) ?(?:[\w-]+ )??)(?:is |are )?(?P<rest>(?:normal|abnormal|enlarged|clear|big|large|dilated|widened)\b[^?.]*)\W*$",
    re.IGNORECASE,
)
_TAG = re.compile(  # "There's no effusion, right?", "The heart isn't enlarged, is it?"
    r"^\W*(?:so |but |and )?(?P<clause>(?:there|this|it|that|he|she|they|these|(?:the|his|her|both|all|this|my) [\w -]{2,40}?)(?:['’]s | (?:is|are|has|have|does|do|shows?)(?:n['’]t)? )[^?]+?),?"
    r" (?P<tag>right|correct|true|yes|no|ok|okay|yeah|(?:is|are|does|do|has|have)(?:n['’]t)? (?:it|there|they|he|she|this))\W*$"
    r"|^\W*(?:so,? )?(?P<said>(?:there|it|he|she|(?:the|both|his|her) (?:[\w-]+ ){0,3}?[\w-]+) (?:(?:is|are|does|do|has)(?:n['’]t\b| not\b| no\b)|(?:is|are) (?!what\b|which\b|where\b|how\b|why\b|it\b|there\b))[^,?.]+)\?\W*$",
    re.IGNORECASE,
)
_NOT = re.compile(  # what is said not to be: the same without it
    r"^(?P<verb>is|are|was|were|does|do|did|has|have)(?:n['’]t| not) (?!only\b|just\b)(?P<one>.+)$"
    r"|^(?P<asked>(?:is|are|was|were|does|do|did) (?:(?:the|this|that|there|it|he|she|these|they|both|his|her)\b(?: (?!not\b|or\b|and\b)[\w-]+){0,4}?)) not (?P<rest>(?!only\b|just\b)[^?]+\?*)$",
    re.IGNORECASE,
)
_WELL = re.compile(  # free of anything is clear
    r"^(?P<lungs>(?:is|are) (?:(?:the|both|his|her) )?(?:(?:left|right) )?(?:lungs?|lung fields?|chest)) (?:free|clear) (?:of|from) (?:any |acute |active )*(?:disease|abnormalit(?:y|ies)|patholog(?:y|ies)|findings?)\W*$",
    re.IGNORECASE,
)
_BELIEVED = re.compile(
    r"^\W*(?:so,? )?(?:(?:i|we) (?:think|believe|suspect|suppose)(?: that)? )?(?P<clause>[^.?!,;]+)[.,;]\s*(?:do you agree|agreed?|(?:is (?:that|this|it)|am i|are we)? ?(?:right|correct|true))\W*$"
    r"|^\W*is it (?:true|correct|right|possible|likely)(?: that)? (?P<said>[^.?!,;]+)\W*$",
    re.IGNORECASE,
)
_SHORTENED = re.compile(r"^(there|it|this|that|he|she)['’]s (?!(?:got|been|had)\b)", re.IGNORECASE)
_DENIED = re.compile(
    r"^(?P<subject>.+?) (?P<verb>is|are|was|were|has|have|does|do)(?: not|(?P<no> no)(?= )) (?!only\b|just\b)(?P<have>have )?(?P<rest>.+)$",
    re.IGNORECASE,
)
_ISNT = re.compile(r"\b(is|are|was|were|has|have|had|does|do|did)n['’]t\b", re.IGNORECASE)
_CLAUSES = re.compile(r",? (?:and|but) |, ")
_JOINED = re.compile(  # more is said than one thing of one subject
    r"[,;]|\b(?:and|but|nor|yet|while|although|no|not|never|without|is|are|was|were|has|have|does|do)\b|n['’]t\b",
    re.IGNORECASE,
)
_DOES = re.compile(r"^(?P<subject>.+?) (?P<verb>does|do|did) (?P<rest>.+)$", re.IGNORECASE)
_IS = re.compile(
    r"^(?P<subject>there|this|it|that|these|they|(?:this|the|his|her|any|an?) (?:(?!is\b|are\b|has\b|have\b)[\w-]+ ){0,5}?(?!is\b|are\b)[\w-]+) (?P<verb>is|are|was|were) (?P<rest>.+)$",
    re.IGNORECASE,
)
_HAS = re.compile(
    r"^(?P<subject>he|she|it|this|(?:the|this|my) (?:patient|film|image|picture|scan|x-?ray|radiograph|study|slide)) (?:has|have|had|(?P<shows>shows?|demonstrates?)) (?P<rest>.+)$",
    re.IGNORECASE,
)
LONGEST = 2000  # characters; a longer text is no question with manners
_SENTENCE = re.compile(r"(?<=[.?!])\s+(?=[A-Za-z])")


@remembered(4096)
def plainly(question: str, pictured: bool = True) -> str:
    """The question as it would be asked without greeting, thanks and detours. Without a picture ``pictured``, what can be seen or may be is no question of what is there.

    >>> plainly("Could you please tell me if there is a pneumothorax?"), plainly("Can you see an effusion?"), plainly("Could this be pneumonia?")
    ('Is there a pneumothorax?', 'Is there an effusion?', 'Is this pneumonia?')
    >>> plainly("Please describe this image."), plainly("Rule out rib fracture"), plainly("Can you name the organ?")
    ('describe this image.', 'Is there rib fracture?', 'name the organ?')
    >>> plainly("Can a pneumothorax be ruled out?"), plainly("Is there no effusion?"), plainly("Could you exclude pneumonia?")
    ('Is this free of a pneumothorax?', 'Is this free of effusion?', 'Is this free of pneumonia?')
    >>> plainly("There's no effusion, right?"), plainly("The heart isn't enlarged, is it?"), plainly("Are the lungs free of disease?")
    ('Is there effusion?', 'Is the heart enlarged?', 'Are the lungs clear?')
    >>> plainly("There is a mass. Is that correct?"), plainly("Is it true that the heart is large?"), plainly("I think there's a mass, agreed?")
    ('Is there a mass?', 'Is the heart large?', 'Is there a mass?')
    >>> plainly("The heart is enlarged and there is no effusion, right?"), plainly("Can the disease be cured?"), plainly("There is no effusion but a mass, right?")
    ('Is the heart enlarged and is there no effusion?', 'Can the disease be cured?', 'Is there no effusion but a mass?')
    """
    if len(question) > LONGEST:
        return question
    if found := _BELIEVED.match(question):
        return _unturned(_asked(found["clause"] or found["said"]) or question)
    told = _SENTENCE.split(question.strip())
    turned = [_turned(one, pictured) for one in told]
    turned = [_unturned(one) for one in turned]
    return question if turned == told else " ".join(filter(None, turned)) or question


def _turned(sentence: str, pictured: bool) -> str:
    text = _THANKS.sub(r"\g<end>", _GREETING.sub("", sentence.strip()))
    text = re.sub(r"([.?!]) ?[.?!]$", r"\1", text)
    if found := _EXCLUDED.match(text):
        return f"Is this free of {found['thing'] or found['sought'] or found['none']}{found['rest'] or ''}?"
    while not _SEE.match(text) and text != (shorter := _PLEASE.sub("", text)):
        text = shorter
    if found := _TAG.match(text):
        return _asked(found["clause"] or found["said"]) or text
    if found := _WHETHER.match(text):
        return _asked(found["clause"]) or text
    if found := _FOR.match(text) or _SEE.match(text):
        return f"Is there {found['thing'].strip()}?"
    if found := _SEE_THE.match(text):
        return _visible(found["thing"])
    if (found := _SEEN.match(text)) and _looked_for(found, pictured):
        if found["thing"].lower().startswith(("the ", "both ", "all ")):
            return _visible(found["thing"], found["rest"])
        return f"{'Are' if _many(found['thing']) else 'Is'} there {found['thing']}{found['rest']}?"
    if (found := _COULD_BE.match(text)) and (pictured or not found["named"]):
        return f"{'Are' if plural(found['subject'].lower()) and found['subject'].lower() != 'this' else 'Is'} {found['subject'].lower()} {found['rest']}"
    if found := _COULD_HAVE.match(text):
        return f"Does {found['subject'].lower()} have {found['rest']}"
    if found := _CALLED.match(text):
        return f"{'Are' if plural(found['thing'].strip()) else 'Is'} {found['thing'].strip().lower()} {found['rest']}?"
    return text


def _looked_for(found: re.Match[str], pictured: bool) -> bool:
    """Whether what can be seen or found is asked of a picture: "Can measles be detected?" is not."""
    thing = found["thing"]
    bound = pictured and (found["eye"] or _BOUND.match(thing) or _ON_IT.search(thing))
    return bool(bound or _ON_IT.search(found["rest"]))


def _visible(thing: str, rest: str = "") -> str:
    """Whether something is seen; where stands behind it ("the ribs on the left", "in this image")."""
    return f"{'Are' if _many(thing) else 'Is'} {thing} seen{rest}?"


def _many(thing: str) -> bool:
    first = re.split(r" (?:in|on|at|of) ", thing, maxsplit=1)[0].lower()
    return first.startswith(("all ", "both ")) or (plural(first) and not first.startswith(("a ", "an ")))


def _asked(statement: str) -> str:
    """A statement as the question whether it holds, a denial taken off; of several clauses each as it stands. Empty where it cannot be turned."""
    statement = _ISNT.sub(r"\1 not", _SHORTENED.sub(r"\1 is ", statement))
    clauses = [_inverted(one) for one in _CLAUSES.split(statement)]
    if len(clauses) > 1 and all(clauses):
        return f"{' and '.join([clauses[0][:-1], *(_low(one)[:-1] for one in clauses[1:])])}?"
    return _inverted(_affirmed(statement))


def _inverted(clause: str) -> str:
    """A statement as a question; empty where it is not one that can be turned."""
    clause = _SHORTENED.sub(r"\1 is ", clause)
    if found := _IS.match(clause):
        return f"{found['verb'].capitalize()} {_low(found['subject'])} {found['rest']}?"
    if found := _DOES.match(clause):
        return f"{found['verb'].capitalize()} {_low(found['subject'])} {found['rest']}?"
    if found := _HAS.match(clause):
        return f"Does {_low(found['subject'])} {'show' if found['shows'] else 'have'} {found['rest']}?"
    return ""


def _affirmed(clause: str) -> str:
    """A statement that denies one thing as the one that does not: "there is no effusion" as "there is effusion"; as it is where more is said, of which a part would be turned round."""
    found = _DENIED.match(clause)
    if found is None or _JOINED.search(found["subject"]) or _JOINED.search(found["rest"]):
        return clause
    if found["no"] and re.search(r"\bor\b", found["rest"], re.IGNORECASE):
        return clause
    return f"{found['subject']} {found['verb']} {found['have'] or ''}{found['rest']}"


def _unturned(question: str) -> str:
    """A question whether something is not so as one whether it is: "Is the heart not enlarged?" as "Is the heart enlarged?"; not where more is asked."""
    if found := _WELL.match(question):
        return f"{found['lungs']} clear?"
    found = _NOT.match(question)
    if found is None or _JOINED.search(found["one"] or found["rest"]):
        return question
    return f"{found['verb']} {found['one']}" if found["verb"] else f"{found['asked']} {found['rest']}"


def _low(subject: str) -> str:
    return subject[:1].lower() + subject[1:]
