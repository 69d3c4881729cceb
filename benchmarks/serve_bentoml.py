"""The reader in BentoML, set up as in its documentation: files in a form, one worker per core.

Annotations are evaluated here, since BentoML uses them.
"""

from pathlib import Path
from typing import Annotated, Any

import bentoml
from bentoml.validators import ContentType

from serve_usual import WORKERS, reader


@bentoml.service(workers=WORKERS, resources={"cpu": str(WORKERS)}, traffic={"timeout": 120})
class Service:
    """One image per request."""

    def __init__(self) -> None:
        self.reader = reader()

    @bentoml.api  # type: ignore[untyped-decorator]
    def predict(self, image: Annotated[Path, ContentType("image/jpeg")]) -> dict[str, Any]:
        """Read the image."""
        return self.reader.read(image.read_bytes())
