-- Other regions are sources of the operator's naming: the gateway itself puts them in, out of its settings.
grant insert, update on core.source to @service@;
