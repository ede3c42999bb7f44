"""From what a generator wrote to what is answered: citations, claims held against their evidence, how sure it is, and why it is held back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from medrag import grounding
from medrag.cite import UNANSWERED, cite
from medrag.confidence import confidence, sort_of
from medrag.disagree import disagreement
from medrag.latest import put_aside
from medrag.prompts import REFUSAL
from medrag.select import OTHER_DOMAIN

if TYPE_CHECKING:
    from medrag.calibration import Calibration
    from medrag.grounding import Infers
    from medrag.settings import PipelineSettings
    from medrag.types import Citation, Claim, Context, Route, Status

NOTHING = "nothing relevant was found"


class Said(NamedTuple):
    """An answer's own part: without its context, times and names."""

    text: str
    status: Status
    citations: tuple[Citation, ...] = ()
    reason: str = ""
    claims: tuple[Claim, ...] = ()
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class Finish:
    """How a text becomes an answer, by the settings ``unsupported`` and ``risk``."""

    settings: PipelineSettings
    generator: Any
    calibration: Calibration | None
    infers: Infers | None = None  # what is asked of claims that the rules leave open

    def __call__(self, text: str, context: Context, route: Route) -> Said:
        """The text with its citations, its claims checked; a refusal where the settings ask for more than it can bear."""
        said = self._checked(Said(*cite(text, context)), context)
        if said.status == "abstained":
            return (
                said._replace(reason=_nothing(route, context))
                if said.reason == UNANSWERED and not context.kept
                else said
            )
        said = said._replace(confidence=self._confidence(said.text, context, route))
        if unsure := self._unsure(said.confidence, context):
            return Said(REFUSAL, "abstained", (), unsure, (), said.confidence)
        reason = disagreement(context) if said.status == "answered" else said.reason
        return said._replace(reason="; ".join(filter(None, (reason, put_aside(context.query)))))

    def _checked(self, said: Said, context: Context) -> Said:
        """With its claims; what is not borne out is marked, taken out, or makes it a refusal."""
        if said.status == "abstained":
            return said
        claims = self.claims_of(said.text, context)
        left = grounding.held(said.text, claims, self.settings.unsupported)
        if left == said.text:
            return said._replace(claims=claims)
        again = Said(*cite(left, context))
        if again.status == "abstained":
            return again._replace(reason=grounding.UNFOUNDED)
        return again._replace(claims=tuple(filter(grounding.borne_out, claims)))

    def claims_of(self, text: str, context: Context) -> tuple[Claim, ...]:
        """What a text says, each sentence checked against the context and what the generator's reader sees."""
        look = getattr(self.generator, "findings", None) if context.query.images else None
        seen = look([image.image for image in context.query.images], context.query.domain) if look else {}
        return grounding.checked(text, context, seen, self.infers)

    def _confidence(self, text: str, context: Context, route: Route) -> float | None:
        if self.calibration is None:
            return None
        return confidence(self.calibration, self.generator, text, context, route, private=self.settings.private)

    def _unsure(self, sure: float | None, context: Context) -> str:
        """Why an answer is held back that may be wrong more often than ``risk`` allows; empty where it may stand."""
        if self.calibration is None or self.settings.risk is None:
            return ""
        sort = self.calibration.named(sort_of(context), context.query.domain)
        asked, least = f"for a risk of {self.settings.risk:g}", self.calibration.threshold(sort, self.settings.risk)
        if sure is None:
            return f"{asked}: how sure answers of this sort are was not calibrated"
        if least > 1:
            return f"{asked}: no confidence is enough"
        return "" if sure >= least else f"{asked} a confidence of {least:.2f} is needed, and this is {sure:.2f}"


def _nothing(route: Route, context: Context) -> str:
    """Why there was no evidence."""
    if (why := {drop.reason for drop in context.dropped}) and all(one.startswith(OTHER_DOMAIN) for one in why):
        return f"all that was found is of {min(why)}"
    return NOTHING if route.retrieves else ": ".join(("nothing was retrieved", *route.reasons[-1:]))
