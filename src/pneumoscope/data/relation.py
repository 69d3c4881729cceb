"""The relation of images to the training of a reader."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class TrainingRelation(StrEnum):
    """The relation of images to training as a word; see ``Relation.to_part``."""

    TRAINING = "training"
    """The training set of the reader."""
    VALIDATION = "validation"
    """The validation set, on which decisions about the reader were made."""
    TEST = "test"
    """A part of the same data that was used neither for training nor for decisions."""
    OTHER = "other"
    """Other data: no image is known to be a training image."""
    OVERLAP = "overlap"
    """Some of the images, or other images of their patients, are training images."""
    SAME_NAMES = "same-names"
    """Most of the files have names of training images, but other contents: the same images in
    another size or format, or other images with the same names."""
    UNKNOWN = "unknown"
    """The relation is unknown."""


_OWN = {
    "train": TrainingRelation.TRAINING,
    "val": TrainingRelation.VALIDATION,
    "test": TrainingRelation.TEST,
}


@dataclass(frozen=True, slots=True)
class Relation:
    """The relation of images to the training of a reader.

    Attributes:
        known: Whether the training images are known; otherwise the other fields are meaningless.
        own: Whether most of the images belong to the data of the reader's run, so that its parts
            apply.
        trained_on: For each image, whether it or another image of its patient was used in training.
        named: For each image, whether its file has the name of a training image. Only given if this
            is true of most images and few contents are known: they may be copies in another size or
            format, or other files with the same names.
    """

    known: bool = False
    own: bool = False
    trained_on: tuple[bool, ...] = ()
    named: tuple[bool, ...] = ()

    @property
    def seen(self) -> int:
        """The number of training images, or of images of their patients."""
        return sum(self.trained_on)

    @property
    def same_names(self) -> int:
        """The number of images with names of training images, if most have one."""
        return sum(self.named)

    def to_part(self, part: str) -> TrainingRelation:
        """Return the relation as a word.

        Args:
            part: Part of the images: ``train``, ``val``, ``test`` or ``all``. In the data of the
                reader's run, the part determines the relation; a mixture of parts is an overlap.
        """
        if self.own:
            return _OWN.get(part, TrainingRelation.OVERLAP)
        if self.seen:
            return TrainingRelation.OVERLAP
        if self.same_names:
            return TrainingRelation.SAME_NAMES
        return TrainingRelation.OTHER if self.known else TrainingRelation.UNKNOWN
