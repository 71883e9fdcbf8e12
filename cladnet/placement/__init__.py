"""Where the members of a clustered service should run: five models, a decision tree, the best hosts for the matrix."""
