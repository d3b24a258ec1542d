"""Meta-World, and the pictures that MuJoCo renders."""
