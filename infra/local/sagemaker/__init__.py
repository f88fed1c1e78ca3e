"""SageMaker on one machine: training jobs and endpoints as child processes of the container's own code."""
