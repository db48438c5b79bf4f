"""The Lambda function that copies a model's files from the artifacts bucket to the file system, atomically.

Every file is verified.

`handler` receives the call of `terraform apply`, `artifact` describes what to publish, and `publish` does it.
"""
