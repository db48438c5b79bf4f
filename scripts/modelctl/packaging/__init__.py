"""What Terraform uploads: layers, code and images, and the environments that they are built from."""
