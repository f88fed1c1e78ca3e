"""Models that were trained elsewhere, checked before they are taken over: nothing of them is run, nor believed.

adapter    a PEFT adapter of the base model
merged     weights of the base's own architecture, as safetensors
folder     what both read: which files there are, JSON, tokenizers
"""
