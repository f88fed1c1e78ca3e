"""Uploaded training and validation files: checked row by row, kept in S3, described in the table."""
