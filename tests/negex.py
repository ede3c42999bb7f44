"""Phrases that deny or leave open, as NegEx (Chapman 2001) and ConText (Harkema 2009) list them, with kin of theirs; written without a look at medrag's own.
NegEx's bare "cannot" is left out: "cannot lie flat with a large effusion" denies no effusion."""

from __future__ import annotations


def _listed(text: str) -> tuple[str, ...]:
    return tuple(phrase.strip() for phrase in text.replace("\n", "|").split("|") if phrase.strip())


BEFORE = _listed("""
no|not|without|with no|denies|denied|denying|never|never had|never developed|never seen|no evidence|no evidence of|no new evidence of|no other evidence of
no new|no significant|no sign of|no signs of|no suspicious|no suggestion of|no cause of|no complaints of|no findings of|no findings to indicate|no evidence to suggest
no mammographic evidence of|no radiographic evidence of|not appreciate|not associated with|not complain of|not demonstrate|not exhibit|not feel|not had|not have
not know of|not known to have|not reveal|not see|not to be|patient was not|without any evidence of|without evidence|without evidence of|without indication of|without sign of
absence of|cannot see|could not identify|checked for|declined|declines|evaluate for|fails to reveal|failed to demonstrate|failure to show|free of|negative for
rather than|resolved|test for|tested for|to exclude|unremarkable for|not remarkable for|rule out|r/o|ro|rules out|rules him out|rules him out for
rules her out for|rules the patient out|rules the patient out for|ruled out|ruled out for|ruled him out|ruled him out for|ruled the patient out|ruled the patient out for
rule him out|rule him out for|rule her out for|rule the patient out|rule the patient out for|did rule out|did rule out for|did rule him out|did rule the patient out for
can rule out|can rule him out for|can rule the patient out|adequate to rule out|adequate to rule him out for|sufficient to rule out|sufficient to rule the patient out for
be ruled out for|should be ruled out for|ought to be ruled out for|may be ruled out for|might be ruled out for|could be ruled out for|will be ruled out for
can be ruled out for|must be ruled out for|is to be ruled out for|what must be ruled out is|was ruled out for|has been ruled out for|did not rule out|does not rule him out for
cannot exclude|lack of|lacks|lacked|lacking|insufficient evidence for|insufficient evidence of|low probability of|low likelihood of|low suspicion for|inconsistent with|not consistent with
excluding|excludes|nothing for|nothing to suggest|devoid of|unable to identify|disappearance of|unaccompanied by|looked for|screened for|argues against
evidence against|not sufficient to rule out|not enough evidence to exclude|no convincing|hardly any|denial of|exclusion of|monitor for|assess for|examined for|evaluated for|neither|nor
unlikely|improbable|doubtful|questionable|possible|probable|suspected|cannot confirm|may represent|if there is|should he develop
""")
AFTER = _listed("""
unlikely|is unlikely|free|was ruled out|is ruled out|are ruled out|have been ruled out|has been ruled out|being ruled out|be ruled out|can be ruled out|could be ruled out
may be ruled out|might be ruled out|should be ruled out|ought to be ruled out|must be ruled out|needs to be ruled out|is to be ruled out|will be ruled out|not ruled out
not been ruled out|was not ruled out|did not rule out|cannot be ruled out|ruled-out|ruled out|is improbable|improbable|is not favored|not favoured|unproven|is unproven|unconfirmed
did not occur|has not occurred|does not exist|never developed|has not developed|not seen|never seen|was never seen|is not seen|isn't seen|not present|is absent|absent
is denied|denied|not demonstrated|not documented|not reported|not appreciated|not visualised|not evident|not detected|is undetectable|was negative|is excluded|has been excluded
could not be confirmed|not confirmed|cannot be seen|not diagnosed|not likely|is not suspected|is questionable|is doubtful|is not suggested|disproved|was refuted|resolved|has resolved
no longer present|no longer seen|disappeared|has disappeared|is gone|nil|none
""")
