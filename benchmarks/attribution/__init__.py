"""What the attribution methods share: outputs to explain, identities, shuffles, compiled models.

The methods themselves are in `benchmarks.methods`, one file each. Frameworks are imported only
when they are used.
"""
