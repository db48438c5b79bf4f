"""The Lambda function that publishes a model's files: from the artifacts bucket to the file system, checked, at once.

`handler` takes the call of `terraform apply`, `artifact` says what is to be published, `publish` does it.
"""
