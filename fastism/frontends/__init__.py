"""Front ends: a user's model to a `fastism.graph.nodes.Graph`; each knows one framework."""

from fastism.frontends.base import FrontEnd, front_end

__all__ = ["FrontEnd", "front_end"]
