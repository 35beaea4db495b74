"""Whether PostgreSQL writes the parameters of statements into its log: then bank answers must not go there.

In: the pools whose statements carry answers. Out: the settings that would write them down, as this very role has them.
A server of the operator's may be set so at any time: it is asked each time, before a bank is and after it has answered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from gateway.errors import StorageUnavailable
from gateway.storage.pool import Pool

# What is written where: PostgreSQL's chapter on error reporting and logging, auto_explain, pgaudit. Each line names a
# setting that makes statements appear, and with them their parameters.
_FOUND: Final = """
with s as (
    select coalesce(current_setting('log_parameter_max_length', true), '0') <> '0' as with_parameters,
        coalesce(current_setting('log_parameter_max_length_on_error', true), '0') <> '0' as with_parameters_on_error
)
select coalesce(string_agg(setting, ', '), '') as found
from s cross join lateral (values
    ('log_statement', s.with_parameters and current_setting('log_statement') = 'all'),
    ('log_min_duration_statement', s.with_parameters and current_setting('log_min_duration_statement') <> '-1'),
    ('log_min_duration_sample', s.with_parameters and current_setting('log_min_duration_sample') <> '-1'
        and current_setting('log_statement_sample_rate')::float8 > 0),
    ('log_transaction_sample_rate', s.with_parameters
        and current_setting('log_transaction_sample_rate')::float8 > 0),
    ('log_parameter_max_length_on_error', s.with_parameters_on_error),
    ('log_min_messages', current_setting('log_min_messages') like 'debug%'),
    ('debug_print_parse, debug_print_rewritten or debug_print_plan', 'on' in (current_setting('debug_print_parse'),
        current_setting('debug_print_rewritten'), current_setting('debug_print_plan'))),
    ('auto_explain.log_min_duration', coalesce(current_setting('auto_explain.log_min_duration', true), '-1') <> '-1'
        and coalesce(current_setting('auto_explain.log_parameter_max_length', true), '-1') <> '0'),
    ('pgaudit.log_parameter', coalesce(current_setting('pgaudit.log_parameter', true), 'off') = 'on')
) as v (setting, logs)
where v.logs"""


async def settings_that_log(pool: Pool) -> str:
    """Names of the settings by which this role's parameters reach the log, with commas; empty where none does.

    Raises StorageUnavailable.
    """
    row = await pool.fetchrow(_FOUND, ())
    return str(row["found"].decode())


class StatementLog:
    """Whether parameters stay out of the log, of all `pools`."""

    def __init__(self, pools: Sequence[Pool]) -> None:
        self._pools = pools

    async def found(self) -> str:
        """Settings that log; empty where none does. What can't be read counts as logging."""
        try:
            names = await asyncio.gather(*[settings_that_log(pool) for pool in self._pools])
        except StorageUnavailable:
            return "the database did not answer"
        return ", ".join(dict.fromkeys(name for name in names if name))
