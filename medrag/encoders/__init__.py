"""Encoders: queries and items as unit vectors of one space. Opened by name; the weights load at the first use."""

from __future__ import annotations

from medrag import models, plugins
from medrag.errors import SettingsError
from medrag.protocols import Encoder
from medrag.settings import EncoderSettings


def open_encoder(settings: EncoderSettings) -> Encoder:
    """The encoder that a recipe names; options of the model table are overridden by those of the settings.

    Raises SettingsError where neither says how to load the model or an option does not exist, ModelMissing with the
    command that fetches it.
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
    try:
        encoder: Encoder = cls(settings.model, batch=settings.batch, device=settings.device, **options)
    except TypeError as error:
        raise SettingsError(f"encoder {settings.model!r}: {error}", f"check the options of kind {kind!r}") from error
    return encoder
