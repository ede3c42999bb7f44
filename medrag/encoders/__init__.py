"""Encoders: queries and items as unit vectors of one space. Opened by name; the weights load at the first use."""

from __future__ import annotations

from medrag import models, plugins
from medrag.errors import SettingsError
from medrag.protocols import Encoder
from medrag.settings import EncoderSettings


def open_encoder(settings: EncoderSettings) -> Encoder:
    """The encoder that a recipe names; options of the model table are overridden by those of the settings.

    A class of one's own (``kind: module:Class``) is made as ``Class(model, *, batch, device, **options)``. Raises SettingsError
    where nothing says how to load the model or an option does not exist, ModelMissing with the command that fetches it.
    """
    model = models.describe(settings.model)
    kind = settings.kind or (model.kind if model else "")
    if not kind:
        raise SettingsError(
            f"nothing says how the model {settings.model!r} is loaded",
            f"set kind: to one of {', '.join(plugins.names('encoders'))}",
        )
    cls = plugins.load("encoders", kind)
    options = {**dict(model.options if model else ()), **settings.options}
    known = {"batch": settings.batch, "device": settings.device}
    encoder: Encoder = plugins.make("encoders", f"{settings.model} ({kind})", cls, settings.model, **known, **options)
    return encoder
