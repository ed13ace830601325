"""XML files without a document type, as CVAT's export is one."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree
from xml.parsers import expat

from poseunion.models.errors import BadFileError
from poseunion.models.files import read_regular

# CVAT's own nesting is 5 deep.
DEEPEST = 100


def load_xml(path: Path) -> ElementTree.Element:
    """The root element of an XML file without a document type. Raises BadFileError."""
    builder = ElementTree.TreeBuilder()
    parser = expat.ParserCreate()
    depth = 0

    def refuse_type(*_: object) -> None:
        raise BadFileError(f"{path} has a document type (DOCTYPE), which CVAT's XML has not: remove it.")

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > DEEPEST:
            raise BadFileError(f"{path} is nested too deeply to be CVAT's XML.")
        builder.start(name, attributes)

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(name)

    parser.StartDoctypeDeclHandler = refuse_type
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = builder.data
    try:
        parser.Parse(read_regular(path), True)
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise BadFileError(f"{path} is not valid XML: {error}; is it cut short?") from error
    return builder.close()
