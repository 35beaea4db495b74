"""Import of files: typed rows in, set-based SQL out, rejects beside the file.

In: CSV files and mapping files (data/mappings), by `credit-gateway import`. Out: core.* through the import role. The
way of a file: read.py (cells) → parse.py (values) → rows.py and rules.py (records with class and term) → subjects.py,
records.py, organisations.py, reference.py (SQL), all led by load.py; definitions.py is the one table of columns.
"""

from gateway.storage.imports.definitions import KINDS
from gateway.storage.imports.load import ImportReport, import_file

__all__ = ["KINDS", "ImportReport", "import_file"]
