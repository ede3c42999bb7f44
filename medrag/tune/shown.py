"""The picture files of the sides that see something else: x* that shows nothing, and x̃ whose lesion is under noise.

Written as PNG beside the pairs, only for pairs that are made, the same bytes for the same seed; what is there is not made again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medrag._util.files import sha256_text
from medrag._util.findings import ASKED, presence_asked
from medrag._util.images import load_image
from medrag.errors import SettingsError
from medrag.tune.answers import Unseen, contents
from medrag.tune.pairs import Pictures, check_kinds
from medrag.tune.pixels import KEPT, LESION, LeastSimilar, lesion_mask, noised, similarity_maps

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

    from medrag.tune.answers import Told
    from medrag.tune.asked import Asked

Heat = Callable[["Image", str], "NDArray[Any]"]  # (picture, finding's label) → (h, w), high where it shows


def unseen_of(how: str, asked: Sequence[Asked], seed: int = 0) -> Unseen:
    """What shows nothing: ``noise``, or for each picture one of the others that is unlike it (``least-similar``, about 50 ms a picture on a CPU).

    Raises SettingsError for another word, and where there is no other picture.
    """
    if how == "noise":
        return Unseen(seed=seed)
    if how != "least-similar":
        raise SettingsError(f"nothing is shown by {how!r}", "known: noise, least-similar")
    paths = sorted({path for one in asked for path in one.images})
    if len(paths) < 2:
        raise SettingsError("no picture is unlike another: the questions have fewer than two", "take noise")
    return Unseen(how, seed, others=LeastSimilar.looked_at(paths, seed=seed).of)


class UnseenFiles:
    """Paths of the pictures that an `Unseen` showed the generator."""

    def __init__(self, folder: Path, unseen: Unseen) -> None:
        self.folder, self.unseen = folder, unseen

    def __call__(self, told: Told) -> tuple[str, ...]:
        if told.unseen_images:
            return told.unseen_images
        paths = _paths(self.folder, told, f"unseen/{self.unseen.seed}/{self.unseen.kept}")
        if not all(path.is_file() for path in paths):
            for path, picture in zip(paths, self.unseen.pictures(told.asked), strict=True):
                _save(picture.image, path)
        return tuple(map(str, paths))


class LesionFiles:
    """Pictures of a finding that is there, with noise where the ``heat`` map is highest; none where nothing is to be hidden.

    ``labels``: findings that the map knows; ``by`` names what makes it: pictures of another map are others. A question must ask for one of them and nothing else of it, and be answered yes.
    """

    def __init__(
        self, folder: Path, heat: Heat, labels: frozenset[str], *, seed: int = 0, share: float = LESION, by: str = ""
    ) -> None:
        self.folder, self.heat, self.labels, self.seed, self.share, self.by = folder, heat, labels, seed, share, by

    @classmethod
    def of_reader(cls, folder: Path, reader: Any, **options: Any) -> LesionFiles:
        """By the maps of a `medrag.encoders.findings.FindingsReader`: which places its score of the finding comes from."""
        options = {"by": getattr(reader, "name", ""), **options}
        return cls(folder, lambda image, label: reader.maps([image], label)[0], frozenset(reader.names), **options)

    @classmethod
    def of_encoder(cls, folder: Path, encoder: str, **options: Any) -> LesionFiles:
        """By how like the finding's name each place of the picture is, for findings that no reader knows (MMedPO, arXiv 2412.06141)."""
        similarity = similarity_maps(encoder)
        options = {"by": f"similarity:{encoder}", **options}
        return cls(folder, lambda image, label: similarity(image, ASKED[label][0]), frozenset(ASKED), **options)

    @classmethod
    def named(cls, folder: Path, name: str, **options: Any) -> LesionFiles:
        """``similarity:ENCODER`` or the name of a findings reader. Raises ModelMissing for weights that are not here."""
        from medrag.encoders.findings import FindingsReader

        how, _, encoder = name.partition(":")
        if how == "similarity" and encoder:
            return cls.of_encoder(folder, encoder, **options)
        return cls.of_reader(folder, FindingsReader(name), **options)

    def __call__(self, told: Told) -> tuple[str, ...]:
        label = presence_asked(told.asked.question)
        shown = told.asked.reference == "yes" and told.domain in ("", "chest-xray")
        if not shown or label not in self.labels:
            return ()
        paths = _paths(self.folder, told, f"lesion/{self.by}/{label}/{self.seed}/{self.share}")
        for n, (path, source) in enumerate(zip(paths, told.asked.images, strict=True)):
            if not path.is_file():
                image = load_image(source, max_side=512).image
                mask = lesion_mask(self.heat(image, label), image.size, self.share)
                _save(noised(image, f"{self.seed}/{told.asked.id}/{n}", KEPT, mask), path)
        return tuple(map(str, paths))


def pictures_of(
    kinds: Sequence[str], folder: Path, unseen: Unseen, reader: str = "", seed: int = 0
) -> tuple[Pictures, Pictures]:
    """What `medrag.tune.pairs.make_pairs` takes for unseen and for lesion; the latter none without a ``reader`` or where no such pairs are wanted.

    Raises SettingsError for an unknown kind or reader, ModelMissing for one that is not here: before anything is asked.
    """
    check_kinds(kinds)
    shows = reader and "lesion" in kinds
    lesions = LesionFiles.named(folder, reader, seed=seed) if shows else lambda told: ()
    return UnseenFiles(folder, unseen), lesions


def _paths(folder: Path, told: Told, what: str) -> list[Path]:
    """Where they lie, however the folder was named: by the content of what they are made from, which may change under its path."""
    asked = told.asked
    names = [
        sha256_text(what, asked.id, content or path)[:20]
        for path, content in zip(asked.images, contents(asked), strict=False)
    ]
    return [folder.absolute() / f"{name}.png" for name in names]


def _save(image: Image, path: Path) -> None:
    from medrag._util.files import atomic_open

    with atomic_open(path) as stream:
        image.save(stream, "PNG")
