"""The cloud on one machine: the synthesized template, deployed to an emulator, with SageMaker as child processes."""
