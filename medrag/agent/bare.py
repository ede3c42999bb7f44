"""A question that names nothing of its own ("who is at risk?", "is there a vaccine?"), asked of the disease that was spoken of. Rules over words.

What such words alone find in a large index is about any disease: they are completed, or told as not understood.
"""

from __future__ import annotations

import re

from medrag.agent.things import ASKS, IT, LONGEST, is_thing, many, no_thing
from medrag.vlms import _words
from medrag.vlms._ask import parse
from medrag.vlms._changed import asks_change

_LEAD = re.compile(
    r"^\W*(?:(?:and|or|but|so|then|ok|okay|now|also|only|just|well)\b[\s,]*)*(?:(?:what|how) about\b\s*)?",
    re.IGNORECASE,
)
_THE = r"(?:what(?:['’]s| is| are) )?(?:(?:the|its|their|any|an?) )?"
_ADJECTIVE = r"(?:common|rare|frequent|widespread|serious|severe|dangerous|bad|deadly|fatal|contagious|infectious|curable|treatable|preventable|hereditary|genetic|inherited)"
_REMEDY = r"(?:drugs?|medicines?|medications?|treatments?|antibiotics?|therap(?:y|ies)|pills?)"
_FORMS = tuple(  # how it is asked by itself, and of the disease {x}; {is} and {does} agree with it
    (re.compile(rf"^(?:{form})\W*$", re.IGNORECASE), whole)
    for form, whole in (
        (rf"{_THE}prevention|how (?:can|do) (?:i|you|we|one) (?:prevent|avoid)", "How can {x} be prevented?"),
        (rf"{_THE}diagnosis|diagnosed", "How {is} {x} diagnosed?"),
        (rf"{_THE}(?P<n>(?:side|adverse) effects)", "What are the {n} of the treatment of {x}?"),
        (r"treated", "How {is} {x} treated?"),
        (rf"{_THE}(?P<n>outlook|life ?(?:expectancy|span)|survival(?: rate)?|mortality|death rate|prevalence|incidence|frequency|incubation period|inheritance|pathology|mechanism)", "What is the {n} of {x}?"),
        (rf"(?:are there |{_THE})(?:\w+ )?(?P<n>stages|types|kinds|forms|triggers|warning signs|early signs|first signs)", "What are the {n} of {x}?"),
        (r"any (?P<n>symptoms|signs|complications|risk factors|causes|triggers)", "What are the {n} of {x}?"),
        (r"(?:(?:is|are) there )?(?:(?:the|an?|any|no) )?(?:known |good |effective )*(?P<n>vaccin(?:e|ation)s?|shots?)(?: available| yet| now)?", "Is there a vaccine against {x}?"),
        (r"(?:(?:is|are) there )?(?:(?:the|an?|any|no) )?(?:known |good |effective |specific )*(?P<n>cure|(?:blood |genetic )?test|remedy|antidote|screening)s?(?: available| yet| now| for (?:it|that|this))?", "Is there a {n} for {x}?"),
        (rf"(?:is|are) there (?:(?:the|an?|any|no) )?(?:known |good |effective |specific )*{_REMEDY}(?: available| yet| now)?", "How {is} {x} treated?"),
        (rf"how (?P<n>{_ADJECTIVE})(?: is (?:this|that))?", "How {n} {is} {x}?"),
        (rf"(?P<n>{_ADJECTIVE})", "{Is} {x} {n}?"),
        (r"how long", "How long {does} {x} last?"),
        (rf"(?:which|what) (?P<n>{_REMEDY})(?: (?:are|is) (?:used|given|recommended|available|there)| helps?| works?| can (?:i|you|one) take| should (?:i|you|one) take)?", "Which {n} {are} used to treat {x}?"),
        (r"(?:which|what) foods?|diet|(?:which|what) diet|what (?:can|should) (?:i|you|one|we) eat", "What should be eaten with {x}?"),
        (r"(?:which|what) (?P<n>doctor|specialist)s?", "Which {n} treats {x}?"),
        (r"what (?P<n>helps?|works|can help|can (?:i|you|we|one) do|should (?:i|you|we|one) do)", "What {n} against {x}?"),
        (r"(?P<n>fertility|pregnancy)", "How {does} {x} affect {n}?"),
        (r"(?P<n>who (?:should|must|can|needs to|has to) (?:be|get) (?:vaccinated|immuni[sz]ed|a vaccine|a shot))", "{n} against {x}?"),
        (r"(?P<n>who (?:should|must|can|needs to|has to) (?:be|get) (?:\w+ )?(?:tested|screened|checked|treated|tests?))", "{n} for {x}?"),
        (r"(?P<n>.*\bat (?:(?:high|higher|greater|increased|most) )?risk)", "{n} of {x}?"),
        (r"(?P<n>(?:who|how many (?:people|children|adults|women|men)) (?:is|are|gets?) (?:\w+ )?affected)", "{n} by {x}?"),
        (r"(?P<n>is (?:surgery|an operation|(?:a )?treatment|(?:a )?transplant) (?:always )?(?:needed|necessary|required|possible))", "{n} for {x}?"),
        (r"who gets|who (?:can|may|might) get", "Who gets {x}?"),
    )
)  # fmt: skip
_OF_ITSELF = re.compile(  # asks what the word means
    r"^\W*(?:(?:what(?:['’]s| is| are)|define|explain)(?! the\b)|what do(?:es)? .* mean\b)", re.IGNORECASE
)
OF_THIS = re.compile(
    r"\b(?:this|that|the|these) (?:disease|condition|illness|disorder|syndrome|problem)\b(?! (?:that|which|of|in|with|where|called|from)\b)",
    re.IGNORECASE,
)
_ABOUT = re.compile(
    r"^\W*(?:(?:please|can|could|will|you) )*(?:tell (?:me|us)(?: (?:more|something|all|everything))? (?:about|of)|i (?:have|['’]ve got) (?:a|some) questions? (?:about|on)|i (?:want|would like|['’]d like|need) to know(?: more| something| all)? about|(?:let['’]?s|let us) talk about|(?:i need )?(?:some )?information (?:about|on))\s+(?P<thing>[^?]+?)\W*$",
    re.IGNORECASE,
)
_A_TOPIC = re.compile(  # of itself something to ask about: "How do vaccines work?", not "Is there a vaccine?"
    r"(?<!\ba )(?<!\ban )(?<!\bthe )(?<!\bany )(?<!\bno )(?<!\bi )\b(?:vaccines|vaccinations?|pregnan\w+|surger(?:y|ies)|genes|genetics?(?! tests?\b)|chromosomes|trials|research|exercise|diets|diseases|disorders|syndromes|illnesses|medicine)\b",
    re.IGNORECASE,
)
TO_ASK = re.compile(r"^\W*i (?:have|['’]ve got) (?:a|some) questions? (?:about|on)\b", re.IGNORECASE)
_ITS_KIND = _words.stem_set("disease syndrome disorder condition illness")


def asked_of(question: str, name: str) -> str:
    """The question, asked of ``name``; empty where it names a thing itself.

    >>> asked_of("who is at risk?", "kidney stones"), asked_of("Is there a vaccine?", "hepatitis B"), asked_of("who has asthma?", "gout")
    ('Who is at risk of kidney stones?', 'Is there a vaccine against hepatitis B?', '')
    """
    rest = _LEAD.sub("", question, count=1).strip()
    if not name or not rest:
        return ""
    if OF_THIS.search(question):
        return OF_THIS.sub(name, question, count=1)
    for form, whole in _FORMS:
        if found := form.match(rest):
            return _filled(whole, found.groupdict().get("n") or "", name)
    return (
        f"{_capital(rest.rstrip('?!. '))} with {name}?"
        if ASKS.match(rest) and names_nothing(rest) and not IT.search(rest) and not asks_change(rest)
        else ""
    )


def _filled(whole: str, said: str, name: str) -> str:
    verbs = {"is": "are", "Is": "Are", "does": "do"} if many(name) else {"is": "is", "Is": "Is", "does": "does"}
    said = said if said[:1].isupper() and said[1:2].isupper() else said[:1].lower() + said[1:]
    are = "are" if said.endswith("s") else "is"
    return _capital(whole.format_map({**verbs, "are": are, "n": said, "x": name}))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def names_nothing(question: str) -> bool:
    """Whether it has no word but those of a relation ("What are the symptoms?"), and does not ask what such a word means ("What is a gene?").

    >>> [names_nothing(text) for text in ("Who is at risk?", "Is there a cure?", "What is a gene?", "How do vaccines work?", "Who gets gout?")]
    [True, True, False, False, False]
    """
    if len(question) > LONGEST or not no_thing(question) or parse(question, pictured=False).sort == "report":
        return False
    return bool(IT.search(question)) or not (_OF_ITSELF.match(question) or _A_TOPIC.search(question))


def named(question: str) -> str:
    """What a text that is no question brings up: "Tell me about epilepsy", "epilepsy?", "gout treatment"; empty for what is one.

    >>> named("Tell me about epilepsy."), named("gout treatment"), named("Is it gout?")
    ('epilepsy', 'gout', '')
    """
    if len(question) > LONGEST:
        return ""
    if found := _ABOUT.match(question):
        name = re.sub(r"^the (?=\w+$)", "", found["thing"].strip(" ."))
        return name if is_thing(name) and not no_thing(name) and len(name.split()) <= 6 else ""
    said = question.strip(" ?.!").split()
    while len(said) > 1 and no_thing(said[-1]) and not _words.stem_set(said[-1]) <= _ITS_KIND:
        said.pop()
    name = " ".join(said)
    alone = 0 < len(said) <= 4 and not ASKS.search(question) and not re.search(r"[,;:]", name)
    return name if alone and is_thing(name) and not no_thing(name) else ""
