"""The relation of images to the training of a reader."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class TrainingRelation(StrEnum):
    """The relation of images to training as a word; see ``Relation.to_part``."""

    TRAINING = "training"
    """Its own training part."""
    VALIDATION = "validation"
    """Its own validation part, which decided about it."""
    TEST = "test"
    """A part of the data that it was trained on which neither taught nor decided."""
    OTHER = "other"
    """Other data: none of the images is known to be among those that it learnt from."""
    OVERLAP = "overlap"
    """Some of the images, or others of their patients, are among those that it learnt from."""
    SAME_NAMES = "same-names"
    """Most of the files are called as those that it learnt from, but their contents are others: the
    same images in another size or format, or other images that are called alike."""
    UNKNOWN = "unknown"
    """Nothing tells."""


_OWN = {
    "train": TrainingRelation.TRAINING,
    "val": TrainingRelation.VALIDATION,
    "test": TrainingRelation.TEST,
}


@dataclass(frozen=True, slots=True)
class Relation:
    """The relation of images to the training of a reader.

    Attributes:
        known: Whether anything tells what the reader learnt from; else nothing follows from the
            other fields.
        own: Whether most of the images are of the data of the reader's run, so that its parts are
            theirs.
        taught: For each image, whether the reader learnt from it, or from another image of its
            patient.
        named: For each image, whether its file is called as one that the reader learnt from. Given
            only where most of the images are, and few contents are known: they may be copies in
            another size or format, or other files that are called alike.
    """

    known: bool = False
    own: bool = False
    taught: tuple[bool, ...] = ()
    named: tuple[bool, ...] = ()

    @property
    def seen(self) -> int:
        """The number of training images, or of images of their patients."""
        return sum(self.taught)

    @property
    def same_names(self) -> int:
        """The number of images with names of training images, if most have one."""
        return sum(self.named)

    def to_part(self, part: str) -> TrainingRelation:
        """Return the relation as a word.

        Args:
            part: Of the images: ``train``, ``val``, ``test`` or ``all``. In the reader's own data
                it says all; a mixture of its parts is an overlap.
        """
        if self.own:
            return _OWN.get(part, TrainingRelation.OVERLAP)
        if self.seen:
            return TrainingRelation.OVERLAP
        if self.same_names:
            return TrainingRelation.SAME_NAMES
        return TrainingRelation.OTHER if self.known else TrainingRelation.UNKNOWN
