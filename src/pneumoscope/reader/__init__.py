"""A trained reader in one file; reading needs no training framework."""
