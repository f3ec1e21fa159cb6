"""The ground: errors, seeding, pixels, paths, files; imports nothing of ours."""
