"""From what people have to a dataset: one module a format, and what they have in common.

An importer turns a source into drafts (`drafts`), `run` turns these into posts, `formats` lists
the importers by name. `videos` finds files without trusting rows, `cells` and `columns` understand
what people write into tables, `text` reads files of any size.
"""

from ggm.corpus.importers.drafts import Importer
from ggm.corpus.importers.formats import FORMATS, make_importer
from ggm.corpus.importers.run import ImportSummary, import_posts

__all__ = ["FORMATS", "ImportSummary", "Importer", "import_posts", "make_importer"]
