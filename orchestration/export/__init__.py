"""Export to serving: a bundle copied to a folder or an object store, verified there, then made visible.

Every export is a folder of its own that never changes; a small file, the pointer, names the one to be used.
"""

from orchestration.export.card import read_card_fields
from orchestration.export.contents import CONTENTS, Content, Subject
from orchestration.export.copying import Copied
from orchestration.export.formats import FORMATS, formats_of
from orchestration.export.listing import ListedExport, list_exports
from orchestration.export.location import Location, StoredExport
from orchestration.export.pruning import prune
from orchestration.export.publishing import Published, Request, publish
from orchestration.export.reading import ExportedBundle, read_export, read_version
from orchestration.export.records import ExportedFile, Manifest, Pointer, folder_suffix, pointer_file

__all__ = [
    "CONTENTS",
    "FORMATS",
    "Content",
    "Copied",
    "ExportedBundle",
    "ExportedFile",
    "ListedExport",
    "Location",
    "Manifest",
    "Pointer",
    "Published",
    "Request",
    "StoredExport",
    "Subject",
    "folder_suffix",
    "formats_of",
    "list_exports",
    "pointer_file",
    "prune",
    "publish",
    "read_card_fields",
    "read_export",
    "read_version",
]
