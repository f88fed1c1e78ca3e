"""The program inside the training image: a job config and data in, an adapter and a model card out.

python -m trainer.train      fine-tunes, as an ordinary SageMaker training job
python -m trainer.validate   checks a dataset against a base model: every bad line, exact token counts, previews, repair
python -m trainer.evaluate   compares a finished model with its base
python -m trainer.convert    exports a finished model in other formats
python -m trainer.stage      copies a base model from a hub into the base-model bucket
python -m trainer.serve      answers chat requests with a base model and its adapter
"""
