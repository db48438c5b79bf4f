# `terraform destroy` begins with this object, and the policy of its bucket (buckets.tf) denies deleting it until
# `force_destroy` was applied. S3 also refuses to delete a bucket that is not empty, but only after everything else is gone.

locals {
  deletion_protection = "deletion-protection"
}

resource "aws_s3_object" "deletion_protection" {
  bucket = aws_s3_bucket.data["artifacts"].id
  # The error shows this key. Do not change it: that would replace the object, which cannot be deleted.
  key     = "${local.deletion_protection}/to destroy this deployment, first run: terraform apply -var force_destroy=true"
  content = ""

  override_provider {
    default_tags {
      tags = {} # an object of a bucket that is itself tagged needs none
    }
  }

  # On everything, because the dependencies of a resource are destroyed after it.
  depends_on = [
    module.home,
    module.network,
    module.existing_network,
    module.storage,
    module.routing,
    module.observability,
    module.weights_sync,
    module.keep_active,
    module.model,
    terraform_data.network,
    aws_s3_bucket_public_access_block.data,
    aws_s3_bucket_ownership_controls.data,
    aws_s3_bucket_server_side_encryption_configuration.data,
    aws_s3_bucket_policy.data,
    aws_s3_bucket_versioning.inputs,
    aws_s3_bucket_lifecycle_configuration.data,
    aws_s3_bucket_notification.results,
    aws_s3_object.code,
    aws_s3_object.layer,
    aws_lambda_layer_version.runtime,
  ]
}
