output "file_system" {
  description = "The file system's id and ARN, the access point through which weights are written, and the POSIX users that write and read them; it can be mounted when this whole module is done."
  value = {
    id  = aws_efs_file_system.weights.id
    arn = aws_efs_file_system.weights.arn

    writer_access_point_arn = aws_efs_access_point.writer.arn
    writer                  = local.writer
    reader                  = local.reader
  }
}
