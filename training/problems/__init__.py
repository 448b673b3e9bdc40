"""Problems with answers: published sets, solve rates, variants, contamination."""
