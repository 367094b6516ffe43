"""The `jaxcnn` command."""
