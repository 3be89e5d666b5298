"""What is dropped: what a file is by its name, what its sidecar asks for, what a batch manifest lists."""
