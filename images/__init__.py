"""The image: recipe, package, root tree, disk, bake, verify, artifacts."""
