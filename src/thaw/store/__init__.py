"""What lies on the disk: tensors, released files, runs, weights, inputs."""
