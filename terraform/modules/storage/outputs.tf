output "file_system" {
  description = "The file system's id and ARN; it can be mounted when this whole module is done."
  value = {
    id  = aws_efs_file_system.weights.id
    arn = aws_efs_file_system.weights.arn
  }
}
