"""What holds for thousands of broken files and hundreds of kills: `.ci/nightly` runs these in full.

Each module is a program: ``python -m tests.proofs.mutated_job_files 20000``. A case depends on the seed and
its number alone, so that one that fails can be made again.
"""
