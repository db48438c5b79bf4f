terraform {
  # 1.11: the S3 backend locks its state itself (use_lockfile); see backend_override.tf.example.
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100, < 7.0"
    }
  }

  backend "local" {}
}
