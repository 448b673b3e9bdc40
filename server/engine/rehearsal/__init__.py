"""An engine without a model: synthetic or recorded attempts at the speed of a described machine."""
