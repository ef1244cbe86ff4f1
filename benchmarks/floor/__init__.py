"""The floor: how long the multiply-adds of a plan take in plain matrix products."""
