"""HTTP as Python sees it. The protocol itself is the engine's."""
