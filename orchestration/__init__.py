"""Everything around the work: the command, launching, tracking, the ledger and promotion."""
