"""Import of files: typed rows in, set-based SQL out, rejects beside the file.

In: CSV and Excel files and mapping files (data/mappings), by `credit-gateway import`. Out: core.* through the import
role. The way of a file: table.py (rows of cells; encoding.py, workbook_child.py) → read.py (the header by headings.py,
values by parse.py and quantities.py) → rows.py, subject_rows.py and rules.py (records with class and term) →
subjects.py, records.py, organisations.py, reference.py (SQL), all led by load.py; rejects.py takes what can't be taken.
definitions.py has the kinds of file, columns.py their columns; template.py writes empty ones; account.py reports by
authority.
"""

from gateway.storage.imports.account import AuthorityReport, report_by_authority
from gateway.storage.imports.definitions import KINDS
from gateway.storage.imports.load import ImportReport, import_file
from gateway.storage.imports.rejects import safe_cell
from gateway.storage.imports.template import write_template

__all__ = [
    "KINDS",
    "AuthorityReport",
    "ImportReport",
    "import_file",
    "report_by_authority",
    "safe_cell",
    "write_template",
]
