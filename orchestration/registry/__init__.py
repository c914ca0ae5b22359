"""Which bundle is accepted and champion: ledger, promotion, lineage, mirrors."""
