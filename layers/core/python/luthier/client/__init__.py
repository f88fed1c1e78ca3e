"""What programs that use Luthier need: nothing here imports the AWS SDK."""
