"""Studies beside timing: breakdown by layer, correlations, rounding, sizes, promoters."""
