"""The one disk in the form that each provider takes."""
