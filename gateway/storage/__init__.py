"""Where things are kept: PostgreSQL, embedded or ordinary.

In: settings. Out: migrated databases, roles, pools by view whose statements return bytes, the catalogue of views.
Called by app and cli, by ledger, auth and sources for their own tables; the engine is handed a pool and the catalogue.
"""
